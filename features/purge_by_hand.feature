@must @multi-node @cache-admin
Feature: A purge by hand, or a restart, ends what an event did not
  Where an entry is stale and nothing is going to tell the node, an operator can: by its key, all at
  once, or with a restart.

  @CLU-58a @CLU-59 @CLU-60 @sql
  Scenario Outline: A stale <what> ends when its key is purged
    Given a cluster of 2 nodes
    And every node is ready for <change>
    And node 2 has missed <change>
    And node 2 still showed the old state during the next 1 poll
    When its key is purged on node 2
    Then node 2 shows it from the very next request on

    Examples:
      | what | change               |
      | hit  | a deleted credential |
      | miss | a new credential     |

  @CLU-58a @CLU-60 @sql
  Scenario Outline: Purging everything makes a node forget that it missed <change>
    Given a cluster of 2 nodes
    And every node is ready for <change>
    And node 2 has missed <change>
    And node 2 still showed the old state during the next 1 poll
    When the cache of node 2 is purged
    Then node 2 shows it from the very next request on

    Examples:
      | change               |
      | a deleted credential |
      | a deleted route      |
      | a new plugin         |

  @should @CLU-60 @sql
  Scenario: A purge is the affair of one node
    Given a cluster of 2 nodes
    And every node is ready for a deleted credential
    And its credential is deleted behind the gateway's back
    When the cache of node 1 is purged
    Then node 1 shows it from the very next request on
    And node 2 still shows the old state during the next 3 polls

  @CLU-60 @sql
  Scenario: A purge also forgets what is being loaded at that moment
    Given a cluster of 2 nodes
    And every node is ready for a deleted credential
    And node 2 was loading its credential over a slow link while it was deleted behind the gateway's back
    When its key is purged on node 2 before the load ends
    Then node 2 shows it as soon as the load has ended

  @CLU-58b @sql @process
  Scenario Outline: A restart ends what a node missed of <change>
    Given a cluster of 2 nodes
    And every node is ready for <change>
    And node 2 has missed <change>
    And node 2 still showed the old state during the next 1 poll
    When node 2 is restarted
    Then node 2 shows it from the very next request on

    Examples:
      | change               |
      | a deleted credential |
      | a new route          |
