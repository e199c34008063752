@must
Feature: Three properties place a node between performance and consistency
  db_update_frequency, db_update_propagation and db_cache_ttl can be set in the configuration file, and
  have documented values when nothing is said.

  @CLU-19 @CLU-40 @CLU-46 @CLU-55
  Scenario: The documented defaults
    Given a cluster of 1 node with nothing set
    When its configuration is asked for
    Then db_update_frequency is reported as 5
    And db_update_propagation is reported as 0
    And db_cache_ttl is reported as 0

  @CLU-39 @config-file
  Scenario: The three properties are set in the configuration file
    Given a cluster of 1 node whose configuration file says
      """
      db_update_frequency = 0.7   # seconds
      db_update_propagation = 0.3
      db_cache_ttl = 11
      """
    When its configuration is asked for
    Then db_update_frequency is reported as 0.7
    And db_update_propagation is reported as 0.3
    And db_cache_ttl is reported as 11
