@must @multi-node @example-plugin
Feature: The document's walk-through
  The clustering document tells its story in seven curl commands against two nodes. They run here as
  they are printed, by real curl, and each gets the answer that the document promises.

  @CLU-14 @CLU-16 @CLU-29 @CLU-30 @CLU-32 @CLU-33 @CLU-34 @CLU-35 @CLU-36
  Scenario: The seven commands, word for word
    Given a cluster of 2 nodes
    And plugins is bundled,example-plugin
    And db_update_frequency is 1 s
    And the service "test-service" answered on every node and then lost its route
    When the walk-through is typed against both nodes
    Then its deletion answers 204 and its first request 404
    And its service, its route and its plugin are each created
    And its requests to both nodes answer 200 before there is a plugin
    And node 1 runs the plugin from the very next request on
    And node 2 runs the plugin within the propagation bound
