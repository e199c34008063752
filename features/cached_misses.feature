@must @multi-node
Feature: A cached miss is dropped when something is created
  That something does not exist is worth remembering, or each request with a wrong key would ask the
  database. But what is created must be found: creation, by POST or PUT, drops the miss.

  @CLU-28 @CLU-59 @cache-admin
  Scenario: A node remembers that a key does not exist
    Given a cluster of 2 nodes
    When every node has refused an unknown key
    Then the cache of every node holds the miss

  @CLU-28 @CLU-52 @CLU-55 @sql
  Scenario: A remembered miss asks the database no more
    Given a cluster of 2 nodes
    And every node is ready for a new credential
    When its credential is created behind the gateway's back
    Then every node still shows the old state during the next 4 polls

  @CLU-37 @cache-admin
  Scenario Outline: The miss is dropped by <change>
    Given a cluster of 2 nodes
    And every node is ready for <change>
    And the cache of every node holds the miss
    When <change> is made through node 1
    Then node 1 shows it from the very next request on
    And node 2 shows it within the propagation bound
    And the cache of every node holds the hit

    Examples:
      | change                 |
      | a new credential       |
      | a credential put by id |
