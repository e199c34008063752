@must @multi-node @process
Feature: Nodes come, stop and die, and no change is lost
  A node joins by pointing at the database. One that dies takes nothing with it that it has
  acknowledged, and one that was away is right again as soon as it is back.

  @CLU-01 @CLU-03
  Scenario: A node that joins serves what exists from its first request on
    Given a cluster of 3 nodes
    And node 3 is stopped
    And a new route was made through node 1
    When node 3 is started
    Then node 3 shows it from the very next request on

  @CLU-10 @P01
  Scenario Outline: <change>, acknowledged by a node that dies at once, reaches the others
    Given a cluster of 2 nodes
    And every node is ready for <change>
    When <change> is made through node 1, which is killed at its answer
    Then node 2 shows it within the propagation bound

    Examples:
      | change               |
      | a deleted credential |
      | a deleted consumer   |
      | a new route          |

  @CLU-18 @CLU-23
  Scenario: A node that was frozen catches up when it goes on
    Given a cluster of 2 nodes
    And every node is ready for a deleted credential
    And node 2 is frozen
    And a deleted credential was made through node 1
    And 3 poll intervals pass
    When node 2 goes on
    Then node 2 shows it within the propagation bound
    And no node ever goes back

  @CLU-23
  Scenario: A node that was killed and started again is right from its first request on
    Given a cluster of 2 nodes
    And every node is ready for a deleted credential
    And node 2 is killed
    And a deleted credential was made through node 1
    When node 2 is started
    Then node 2 shows it from the very next request on

  @CLU-03 @CLU-23 @sql
  Scenario: What changes while a node loads for the first time is not lost on it
    Given a cluster of 2 nodes
    And db_update_frequency is 2 s
    And every node is ready for a service pointed elsewhere
    And node 2 is stopped
    When node 2 is started, and a service pointed elsewhere is made through node 1 while it loads
    Then node 2 shows it within the propagation bound
