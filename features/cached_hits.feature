@must @multi-node
Feature: A cached hit is dropped when it changes, and only that one
  What was loaded is kept until an event names it. PATCH and DELETE name it; entries that the change
  does not touch stay where they are.

  @CLU-08 @CLU-27 @CLU-55 @sql
  Scenario Outline: Without an event a node never notices that <change>
    Given a cluster of 2 nodes
    And every node is ready for <prepared>
    When its <change> behind the gateway's back
    Then every node still shows the old state during the next 4 polls

    Examples:
      | change                | prepared                    |
      | credential is deleted | a deleted credential        |
      | route is deleted      | a deleted route             |
      | service is moved      | a service pointed elsewhere |

  @CLU-38
  Scenario Outline: The hit is dropped by <change>
    Given a cluster of 2 nodes
    And every node is ready for <change>
    And the cache of every node holds the hit
    When <change> is made through node 1
    Then node 1 shows it from the very next request on
    And node 2 shows it within the propagation bound
    And the cache of every node dropped the hit

    Examples:
      | change                 |
      | a credential's new key |
      | a deleted credential   |
      | a deleted consumer     |

  @CLU-20 @cache-admin
  Scenario: Only the related entry is dropped
    Given a cluster of 2 nodes
    And every node is ready for a deleted credential
    And every node also holds an unrelated credential
    When a deleted credential is made through node 1
    Then node 2 shows it within the propagation bound
    And the cache of every node never lost the unrelated credential

  @CLU-20 @cache-admin
  Scenario: A change of routing leaves what is cached of credentials alone
    Given a cluster of 2 nodes
    And every node is ready for a new plugin beside a credential
    And every node also holds an unrelated credential
    When a new plugin beside a credential is made through node 1
    Then node 2 shows it within the propagation bound
    And the cache of every node never lost the unrelated credential
