@multi-node
Feature: A propagation delay postpones the drop, and bounds it
  Where database nodes need time to agree, db_update_propagation gives it to them: a node that learned
  of a change waits that long before it drops what it has. Interval plus delay is the promise.

  Background:
    Given a cluster of 2 nodes
    And db_update_propagation is 1.5 s

  @must @CLU-47 @CLU-48 @CLU-51
  Scenario Outline: <change> shows neither before the delay nor after interval plus delay
    Given every node is ready for <change>
    When <change> is made through node 1
    Then node 2 does not show it before the propagation delay
    And node 2 shows it within the propagation bound
    And no node ever goes back

    Examples:
      | change               |
      | a deleted credential |
      | a new route          |
      | a changed plugin     |

  @should @CLU-51
  Scenario: The delay counts from the write, not from the poll
    Given db_update_frequency is 1.5 s
    And every node is ready for a deleted credential
    And node 2 has just polled
    When a deleted credential is made through node 1
    Then node 2 shows it within the tight bound

  @must @CLU-13
  Scenario: The node that was asked waits for nothing
    Given every node is ready for a deleted credential
    When a deleted credential is made through node 1
    Then node 1 shows it from the very next request on
