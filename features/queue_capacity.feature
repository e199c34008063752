@must @queue-http-log
Feature: A queue is bounded, loses the oldest first, and says so
  max_entries bounds what waits; the batch that is being delivered no longer does. When the queue is full
  the oldest entry makes room. Each stage is logged, for whoever looks at the log at its default level.

  @QUE-15 @QUE-16 @QUE-17 @QRF-03 @Q9 @P74
  Scenario Outline: A full queue of <entries> keeps what is on its way and the newest
    Given a cluster of 1 node
    And the queue's max_entries is <entries>
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    And 19 requests were sent
    When the log server is well again
    Then the log server gets requests 1 and <newest> once, in order, within the delivery bound

    Examples:
      | entries | newest   |
      | 1       | 20       |
      | 5       | 16 to 20 |
      | 10      | 11 to 20 |

  @QUE-18
  Scenario: Up to seven of ten there is no warning
    Given a cluster of 1 node
    And log_level is notice
    And the queue's max_entries is 10
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    When 7 requests are sent
    Then node 1 does not log that the queue is 80 % full during the next 1 s

  @QUE-18
  Scenario: Nine of ten are warned of, once
    Given a cluster of 1 node
    And log_level is notice
    And the queue's max_entries is 10
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    When 9 requests are sent
    Then node 1 logs once that the queue is 80 % full

  @should @QUE-18 @Q10
  Scenario: Each time it fills there is one warning
    Given a cluster of 1 node
    And log_level is notice
    And the queue's max_entries is 10
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    And 9 requests were sent
    And the log server is well again
    And the log server has got every request once, in order, within the delivery bound
    And the log server answers 500
    And a request is on its way to the log server
    When 9 requests are sent
    Then node 1 logs twice that the queue is 80 % full

  @QUE-19
  Scenario: That entries are dropped is logged
    Given a cluster of 1 node
    And log_level is notice
    And the queue's max_entries is 5
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    When 6 requests are sent
    Then node 1 logs at least once that entries are dropped

  @beyond @P87 @P88
  Scenario: A long outage does not flood the log
    Given a cluster of 1 node
    And log_level is notice
    And the queue's max_entries is 5
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    When 60 requests are sent
    Then node 1 logs once that entries are dropped
    And node 1 names the plugin where it logs that entries are dropped

  @QUE-20 @Q9
  Scenario Outline: That things are normal again is logged, after <sent> requests too many or nearly so
    Given a cluster of 1 node
    And log_level is notice
    And the queue's max_entries is 10
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    And <sent> requests were sent
    When the log server is well again
    Then node 1 logs once that things are normal again

    Examples:
      | sent |
      | 20   |
      | 9    |

  @beyond @P89
  Scenario: Nothing is normal again while the log server is still down
    Given a cluster of 1 node
    And log_level is notice
    And the queue's max_entries is 5
    And the queue's max_retry_time is 0.3 s
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    And 19 requests were sent
    And node 1 has logged at least once that a batch of 1 is given up
    When 3 requests are sent
    Then node 1 does not log that things are normal again during the next 1 s

  @should @QRF-04 @Q18
  Scenario: max_bytes bounds what waits like max_entries
    Given a cluster of 1 node
    And the queue's max_bytes is 30000 bytes
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    And 5 requests were sent with 10 kB each
    When the log server is well again
    Then the log server gets requests 1, 5 and 6 once, in order, within the delivery bound
    And node 1 logs at least once that entries are dropped for their length

  @should @QRF-04 @Q19
  Scenario: An entry that is longer than max_bytes is refused, and its request is not
    Given a cluster of 1 node
    And the queue's max_bytes is 10 bytes
    And every request is logged
    When 3 requests are sent
    Then it gets nothing during the next 1 s
    And node 1 logs 3 times that an entry is refused

  @beyond @P70 @P71
  Scenario: The memory of a node whose log server is dead is bounded
    Given a cluster of 1 node
    And the queue's max_entries is 20
    And every request is logged
    And the log server hangs
    And a request is on its way to the log server
    When 3000 requests are sent with 20 kB each
    Then the memory of node 1 has grown by less than 40 MB
