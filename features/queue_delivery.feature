@must @queue-http-log
Feature: Every request is reported to the log server, and no client waits for it
  A queue stands between the proxy and the server that gets its logs. What is said of a request arrives
  there once, in order and soon; and whatever that server does, clients are answered as if it were not there.

  @QUE-01 @QUE-04 @QUE-07 @Q1 @P78 @P84
  Scenario: Each request is reported once and in order
    Given a cluster of 1 node
    And every request is logged
    When 3 requests are sent
    Then the log server gets every request once, in order, within the prompt bound
    And each delivery is one entry and no list

  @QUE-09 @Q5
  Scenario: A short outage is bridged
    Given a cluster of 1 node
    And every request is logged
    And the log server is away
    And 10 requests were sent
    And node 1 has logged at least once that a delivery failed
    When the log server is well again
    Then the log server gets every request once, in order, within the delivery bound

  @QUE-09 @long
  Scenario: An outage of half a minute is bridged
    Given a cluster of 1 node
    And every request is logged
    And the log server is away
    And 10 requests were sent 3 s apart
    When the log server is well again
    Then the log server gets every request once, in order, within the delivery bound

  @QUE-01 @QUE-05 @Q11
  Scenario: A full queue keeps no client waiting
    Given a cluster of 1 node
    And the queue's max_entries is 5
    And every request is logged
    And the log server hangs
    And a request is on its way to the log server
    When 50 requests are sent
    Then every request was answered within the prompt bound

  @QUE-01 @QUE-05 @Q11 @alone
  Scenario: A log server that hangs does not slow the answers of the proxy
    Given a cluster of 1 node
    And the queue's max_entries is 100
    And every request is logged
    And a second service is logged to a place that hangs
    When 2000 requests to either service are timed in turn
    Then those to the second were answered as fast as those to the first

  @beyond @P83
  Scenario: A dead log server does not hold back what goes to another
    Given a cluster of 1 node
    And every request is logged
    And a second service is logged to nobody
    When 6 requests are sent to both services in turn
    Then the log server gets requests 1, 3 and 5 once, in order, within the prompt bound

  @beyond @P91 @long
  Scenario: Hundreds of dead log servers leave the proxy alone
    Given a cluster of 1 node
    And every request is logged
    And 300 services are logged to nobody
    When 100 requests are sent
    Then every request was answered within the prompt bound
    And the log server gets every request once, in order, within the prompt bound

  @should @QUE-04
  Scenario: An entry tells of the request, its answer, its service and its route
    Given a cluster of 1 node
    And every request is logged
    When 2 requests are sent
    Then the log server gets every request once, in order, within the prompt bound
    And every entry tells of request, answer, service and route

  @should @QUE-04
  Scenario: What the gateway answers by itself is reported too
    Given a cluster of 1 node
    And every request is logged
    And every request is refused by the gateway
    When 2 requests are sent
    Then the log server gets every request once, in order, within the prompt bound

  @should @QUE-04
  Scenario: An entry does not show by what a client authorizes itself
    Given a cluster of 1 node
    And every request is logged
    When 2 requests are sent with a secret each
    Then the log server gets every request once, in order, within the prompt bound
    And no entry shows a secret

  @should @QUE-04
  Scenario: The query of the endpoint is not sent
    Given a cluster of 1 node
    And the plugin's path is /log?hidden=1
    And every request is logged
    When 1 request is sent
    Then the log server gets every request once, in order, within the prompt bound
    And no delivery carries a query

  @beyond @P93
  Scenario: A delivery is addressed to host and port of the endpoint
    Given a cluster of 1 node
    And every request is logged
    When 1 request is sent
    Then the log server gets every request once, in order, within the prompt bound
    And every delivery is addressed to the log server

  @beyond @P77
  Scenario: A percent sign in the endpoint is nothing special
    Given a cluster of 1 node
    And the plugin's path is /100%25
    And every request is logged
    When 3 requests are sent
    Then the log server gets every request once, in order, within the prompt bound
