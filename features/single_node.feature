@must
Feature: A node's own change is immediate
  A client that changes something through a node's Admin API and is told that it is done may rely on
  it: the very next request through that node sees the new state. Nothing is "soon" on the node that
  was asked, whatever kind of thing was changed.

  @CLU-13 @CLU-34
  Scenario Outline: The very next request sees <change>
    Given a cluster of 1 node
    And every node is ready for <change>
    When <change> is made through node 1
    Then node 1 shows it from the very next request on

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
      | change                  |
      | a new credential        |
      | a credential put by id  |
      | a replaced credential   |
      | a credential's new key  |
      | a deleted credential    |
      | a renamed consumer      |
      | a deleted consumer      |

  @CLU-13
  Scenario Outline: What it shows of <change> stays, also when the node finds its own event
    Given a cluster of 1 node
    And every node is ready for <change>
    When <change> is made through node 1
    Then node 1 shows it and nothing else during the next 2 polls

    Examples:
      | change               |
      | a new route          |
      | a changed plugin     |
      | a deleted credential |

  @CLU-14 @CLU-15 @cache-admin
  Scenario: A deleted service is gone at once, from the proxy and from the node's cache
    Given a cluster of 1 node
    And every node serves the service "test-service"
    When the service "test-service" is deleted through node 1 with its route
    Then node 1 answers 404 for "test-service" from the very next request on
    And the cache of node 1 no longer holds the service "test-service"

  @CLU-14 @multi-node
  Scenario: A service that still has a route is refused deletion, and nothing changes anywhere
    Given a cluster of 2 nodes
    And every node serves the service "test-service"
    When the deletion of the service "test-service" is refused by node 1
    Then every node keeps serving "test-service" during the next 2 polls
