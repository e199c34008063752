@must @multi-node
Feature: Every node learns of a change within the poll interval
  A node is told nothing. It polls, and what it finds it drops from its caches: so a change made
  through one node is old news at the latest one poll interval later, everywhere, and it stays.

  @CLU-10 @CLU-22 @CLU-36 @CLU-45
  Scenario Outline: <change> reaches the other node within the propagation bound
    Given a cluster of 2 nodes
    And every node is ready for <change>
    When <change> is made through node 1
    Then node 2 shows it within the propagation bound
    And no node ever goes back

    Examples: routes and services
      | change                      |
      | a new route                 |
      | a route put by id           |
      | a replaced route            |
      | a route moved to a new path |
      | a deleted route             |
      | a service pointed elsewhere |
      | a disabled service          |

    Examples: plugins
      | change            |
      | a new plugin      |
      | a changed plugin  |
      | a disabled plugin |
      | a removed plugin  |

    Examples: consumers and credentials
      | change                 |
      | a new credential       |
      | a credential put by id |
      | a replaced credential  |
      | a credential's new key |
      | a deleted credential   |
      | a renamed consumer     |
      | a deleted consumer     |

  @CLU-09 @CLU-16 @CLU-17 @CLU-21
  Scenario Outline: Until it hears of <change>, a node goes on with what it knew
    Given a cluster of 2 nodes
    And every node is ready for <change>
    And node 2 is held from its database
    And <change> was made through node 1
    And node 2 still showed the old state during the next 2 polls
    When node 2 is healed
    Then node 2 shows it within the heal bound
    And no node ever goes back

    Examples:
      | change               |
      | a deleted route      |
      | a removed plugin     |
      | a deleted credential |

  @CLU-16 @CLU-17 @CLU-21 @CLU-27 @sql
  Scenario Outline: <change> takes effect at the other node's next poll and not before
    Given a cluster of 2 nodes
    And db_update_frequency is 1.5 s
    And every node is ready for <change>
    And node 2 has just polled
    When <change> is made through node 1
    Then node 2 still shows the old state during the next half poll
    And node 2 shows it within the propagation bound

    Examples:
      | change               |
      | a new route          |
      | a deleted credential |

  @CLU-15 @CLU-17 @CLU-21 @cache-admin @sql
  Scenario: A deleted service stays in the other node's memory until its poll
    Given a cluster of 2 nodes
    And db_update_frequency is 1.5 s
    And the service "test-service" answered on every node and then lost its route
    And node 2 has just polled
    When the service "test-service" is deleted through node 1
    Then the cache of node 2 still holds the service "test-service" during the next half poll
    And the cache of node 2 drops the service "test-service" within the propagation bound

  @CLU-18 @CLU-19 @CLU-42
  Scenario: A node polls at its interval and skips none
    Given a cluster of 2 nodes
    And db_update_frequency is 0.4 s
    When 10 poll intervals pass
    Then every node polled once in each interval

  @CLU-43 @CLU-44
  Scenario: A shorter interval means more polls
    Given a cluster of 2 nodes
    And db_update_frequency is 0.2 s
    And on node 2 db_update_frequency is 0.5 s
    When 16 poll intervals pass
    Then node 1 polled more often than node 2, as their settings say

  @CLU-20 @CLU-23 @CLU-36
  Scenario: After a burst of changes through every node, all nodes agree
    Given a cluster of 3 nodes
    When 30 changes are made through all nodes in turn
    Then every node shows the last state of each within the propagation bound
    And no node ever goes back

  @CLU-12 @sql
  Scenario: A single node writes its events too, so that a second one can join at any time
    Given a cluster of 1 node
    And every node is ready for a new route
    When a new route is made through node 1
    Then the database holds an event for it

  @beyond @P31
  Scenario: An unchanged route never flickers while others change
    Given a cluster of 2 nodes
    And every node serves "/steady"
    When 20 changes are made through all nodes in turn
    Then "/steady" never failed on any node

  @beyond @P01 @sql
  Scenario: An event that commits late is not stepped over
    Given a cluster of 2 nodes
    And every node is ready for a deleted credential
    And its credential is deleted behind the gateway's back
    When an event for it commits late, after newer events were polled
    Then every node shows it within the propagation bound

  @beyond @P01 @sql
  Scenario: A router that could not be built is built at a later poll
    Given a cluster of 2 nodes
    And pg_timeout is 1000
    And every node is ready for a service pointed elsewhere
    When a service pointed elsewhere is made through node 1 while no node can load its router
    Then every node shows it within the heal bound
    And no node ever goes back
