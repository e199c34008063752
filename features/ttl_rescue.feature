@must @multi-node @sql
Feature: A TTL rescues a node that missed an event
  An event can get lost outside of the gateway's power. Then only the age of an entry can tell that it
  is worth another look, and db_cache_ttl says at what age. Without one, nothing does.

  @CLU-52 @CLU-53 @CLU-54 @CLU-57
  Scenario Outline: A node that missed <change> shows it after its TTL
    Given a cluster of 2 nodes
    And db_cache_ttl is 4 s
    And every node is ready for <change>
    When node 2 has missed <change>
    Then node 2 still shows the old state during the next 1 poll
    And node 2 shows it within the cache TTL
    And no node ever goes back

    Examples: hits
      | change                      |
      | a deleted credential        |
      | a renamed consumer          |
      | a deleted route             |
      | a service pointed elsewhere |
      | a removed plugin            |

    Examples: misses
      | change           |
      | a new credential |
      | a new route      |
      | a new plugin     |

  @CLU-54
  Scenario: Requests do not prolong the life of an entry
    Given a cluster of 2 nodes
    And db_cache_ttl is 4 s
    And every node is ready for a deleted credential
    When its credential is deleted behind the gateway's back
    Then every node still shows the old state during the next 1 poll
    And every node shows it within the cache TTL, however often it is asked

  @should @CFG-01
  Scenario: Misses have a TTL of their own
    Given a cluster of 2 nodes
    And db_cache_ttl is 10 s
    And db_cache_neg_ttl is 1 s
    And every node is ready for a new credential
    When its credential is created behind the gateway's back
    Then every node shows it within the miss TTL

  @CLU-53 @CLU-55 @CLU-58a
  Scenario Outline: Without a TTL a node that missed <change> never learns of it
    Given a cluster of 2 nodes
    And every node is ready for <change>
    When node 2 has missed <change>
    Then node 2 still shows the old state during the next 4 polls

    Examples:
      | change               |
      | a deleted credential |
      | a new credential     |
