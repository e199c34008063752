@must @multi-node
Feature: A node that is cut from its database keeps serving, and catches up
  Proxying needs no database. A node that cannot reach it serves what it knows, and when the link is
  back it learns what it missed, without help.

  @CLU-08
  Scenario Outline: What a node knows it serves while it is <state> its database
    Given a cluster of 2 nodes
    And every node is ready for a deleted credential
    And every node has refused an unknown key
    When node 2 is <state> its database
    Then node 2 still shows the old state during the next 4 polls
    And node 2 still refuses the unknown key

    Examples:
      | state    |
      | cut from |
      | deaf to  |

  @CLU-08 @CLU-18 @CLU-23
  Scenario Outline: <change>, missed while <state> the database, is learned on return
    Given a cluster of 2 nodes
    And every node is ready for <change>
    And node 2 is <state> its database
    And <change> was made through node 1
    And node 2 still showed the old state during the next 3 polls
    When node 2 is healed
    Then node 2 shows it within the heal bound
    And no node ever goes back

    Examples:
      | change               | state    |
      | a new route          | cut from |
      | a deleted credential | cut from |
      | a new plugin         | deaf to  |
      | a new credential     | deaf to  |

  @beyond @P01 @sql
  Scenario: What was deleted from the events before a node could read it is not lost on it
    Given a cluster of 2 nodes
    And every node is ready for a deleted credential
    And node 2 is cut from its database
    And a deleted credential was made through node 1
    And its events are deleted from the database
    When node 2 is healed
    Then node 2 shows it within the heal bound
    And no node ever goes back

  @should @CFG-02
  Scenario: An expired entry serves on while it cannot be renewed
    Given a cluster of 2 nodes
    And db_cache_ttl is 1 s
    And every node is ready for a renamed consumer
    When node 2 is cut from its database
    Then node 2 still shows the old state during the next 6 polls

  @should @P56
  Scenario: A node without its database says that it is not ready
    Given a cluster of 2 nodes
    When node 2 is cut from its database
    Then node 2 says within the query bound that it is not ready
    And node 2 is alive
