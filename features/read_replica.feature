@must @multi-node @replica
Feature: A read replica that lags only makes nodes late
  With a read-only server configured, the proxy path reads there and the primary is spared. A replica
  is behind by nature: that may cost time, but never a change, and never the writer's own view.

  @CLU-24 @CLU-25 @CLU-25b @sql
  Scenario: Reads of the proxy path leave the primary
    Given a cluster of 2 nodes with a read replica
    When every node loads 20 new credentials
    Then the replica served those reads and the primary none of them

  @CLU-25 @CLU-25b
  Scenario: The router, too, is built from the replica
    Given a cluster of 2 nodes with a read replica
    And every node is ready for a new route
    When node 2 learns of 5 new routes
    Then the replica served those reads and the primary none of them

  @CLU-24 @CLU-49
  Scenario Outline: Behind a lagging replica <change> is late, never lost
    Given a cluster of 2 nodes with a read replica
    And every node is ready for <change>
    And the replica lags by 1 s
    When <change> is made through node 1
    Then node 2 still shows the old state during the next 1 poll
    And node 2 shows it within the propagation bound
    And no node ever goes back

    Examples:
      | change               |
      | a deleted credential |
      | a new credential     |
      | a deleted route      |
      | a new plugin         |

  @CLU-13 @CLU-25
  Scenario Outline: The writer sees <change> at once, however far the replica is behind
    Given a cluster of 2 nodes with a read replica
    And every node is ready for <change>
    And the replica is frozen
    When <change> is made through node 1
    Then node 1 shows it from the very next request on
    And node 1 shows it and nothing else during the next 3 polls

    Examples:
      | change                 |
      | a deleted credential   |
      | a credential's new key |
      | a new route            |
      | a removed plugin       |

  @CLU-21 @CLU-49
  Scenario: What a frozen replica held back arrives when it thaws
    Given a cluster of 2 nodes with a read replica
    And every node is ready for a deleted credential
    And the replica is frozen
    And a deleted credential was made through node 1
    And node 2 still showed the old state during the next 2 polls
    When the replica thaws
    Then node 2 shows it within the propagation bound
    And no node ever goes back

  @CLU-02 @CLU-07 @CLU-17 @CLU-25
  Scenario: The Admin API of every node tells the truth, although its replica is behind
    Given a cluster of 2 nodes with a read replica
    And every node is ready for a new route
    And the replica is frozen
    When a new route is made through node 1
    Then the Admin API of node 2 knows it from the very next request on

  @CLU-13 @CLU-23 @CLU-49
  Scenario: Between a primary that it may read and a replica that lags a node unsees nothing
    Given a cluster of 2 nodes with a read replica
    And the replica lags by 1 s
    When 30 changes, 10 a second, are made through node 2 and one among them through node 1
    Then every node shows the last state of each within the propagation bound
    And no node ever goes back
