@must @queue-http-log
Feature: What could not be delivered is tried again, after waits that double
  A delivery that failed is repeated: the same batch, first after initial_retry_delay, then after twice as
  long each time. Nothing else is sent meanwhile. So delivery is at least once, and in order.

  @QUE-26 @Q5
  Scenario: A batch that failed twice is delivered unchanged, and then no more
    Given a cluster of 1 node
    And the queue's max_batch_size is 3
    And every request is logged
    And the log server answers 500 twice
    When 3 requests are sent
    Then the log server gets every request once, in order, within the delivery bound
    And request 1 is tried 3 times
    And each try of a batch carried the same

  @QUE-26 @Q7
  Scenario Outline: It is tried again when the log server <fails>
    Given a cluster of 1 node
    And the plugin's timeout is 200 ms
    And every request is logged
    And the log server <fails>
    And 2 requests were sent
    And node 1 has logged at least once that a delivery failed
    When the log server is well again
    Then the log server gets every request at least once, in order, within the delivery bound
    And each try of a batch carried the same

    Examples: what passes
      | fails              |
      | answers 500        |
      | answers 503        |
      | is away            |
      | resets connections |
      | hangs              |

  @QUE-26 @Q7
  Scenario Outline: A log server that <fails> for longer than the timeout has failed
    Given a cluster of 1 node
    And the plugin's timeout is 200 ms
    And every request is logged
    And the log server <fails>
    When 1 request is sent
    Then node 1 has logged at least once that a delivery failed

    Examples:
      | fails         |
      | hangs         |
      | reads nothing |

  @should @QUE-26 @Q7
  Scenario Outline: It is tried again when the log server answers <status>
    Given a cluster of 1 node
    And every request is logged
    And the log server answers <status> twice
    When 2 requests are sent
    Then the log server gets every request once, in order, within the delivery bound
    And request 1 is tried 3 times

    Examples:
      | status |
      | 302    |
      | 400    |
      | 404    |
      | 429    |

  @should @QUE-26
  Scenario Outline: Any 2xx is a success, <status> too
    Given a cluster of 1 node
    And every request is logged
    And the log server answers <status>
    When 2 requests are sent
    Then the log server gets every request once, in order, within the prompt bound
    And request 1 is tried once

    Examples:
      | status |
      | 201    |
      | 202    |
      | 204    |

  @beyond @Q24
  Scenario: A server that reads and then breaks off gets it again
    Given a cluster of 1 node
    And every request is logged
    And the log server cuts connections after reading once
    When 2 requests are sent
    Then the log server gets every request at least once, in order, within the delivery bound
    And request 1 is tried 2 times
    And each try of a batch carried the same

  @QUE-27 @QUE-28 @QRF-06 @Q6
  Scenario: Waits begin with initial_retry_delay and double
    Given a cluster of 1 node
    And the queue's initial_retry_delay is 0.1 s
    And every request is logged
    And the log server answers 500
    When 1 request is sent
    Then request 1 is tried at least 5 times
    And the waits between the tries of request 1 double from 0.1 s

  @should @QRF-07 @Q6
  Scenario: No wait is longer than max_retry_delay
    Given a cluster of 1 node
    And the queue's initial_retry_delay is 0.1 s
    And the queue's max_retry_delay is 0.4 s
    And every request is logged
    And the log server answers 500
    When 1 request is sent
    Then request 1 is tried at least 7 times
    And the waits between the tries of request 1 double from 0.1 s up to 0.4 s

  @QUE-29
  Scenario: No wait is longer than max_retry_time
    Given a cluster of 1 node
    And the queue's initial_retry_delay is 3 s
    And the queue's max_retry_time is 1 s
    And every request is logged
    And the log server answers 500
    When 1 request is sent
    Then request 1 is tried at least 2 times
    And no wait between the tries of request 1 is above 1 s

  @should @QRF-05 @Q8
  Scenario: A batch is given up after max_retry_time, and its loss is counted
    Given a cluster of 1 node
    And the queue's max_batch_size is 3
    And the queue's max_retry_time is 1 s
    And the queue's max_retry_delay is 0.2 s
    And every request is logged
    And the log server answers 500
    And 3 requests were sent
    And node 1 has logged once that a batch of 3 is given up
    And the log server is well again
    When 3 requests are sent
    Then the log server gets requests 4 to 6 once, in order, within the delivery bound
    And request 1 was tried for 1 s and then given up

  @should @QRF-05
  Scenario: A negative max_retry_time allows one try
    Given a cluster of 1 node
    And the queue's max_retry_time is -1 s
    And every request is logged
    And the log server answers 500
    When 1 request is sent
    Then request 1 is tried once
    And node 1 logs once that a batch of 1 is given up

  @should @QRF-05
  Scenario: Each batch has a budget of its own, and the first holds up the second
    Given a cluster of 1 node
    And the queue's max_retry_time is 1 s
    And the queue's max_retry_delay is 0.2 s
    And every request is logged
    And the log server answers 500
    When 2 requests are sent
    Then node 1 logs twice that a batch of 1 is given up
    And request 1 was tried for 1 s and then given up
    And request 2 was tried for 1 s and then given up
    And nothing else was sent while a batch was tried again

  @beyond @Q5
  Scenario: A batch that failed does not grow
    Given a cluster of 1 node
    And the queue's max_batch_size is 10
    And the queue's max_coalescing_delay is 0.2 s
    And every request is logged
    And the log server answers 500
    And 3 requests were sent
    And request 1 is tried at least 2 times
    And 4 requests were sent
    And request 1 is tried at least 5 times
    When the log server is well again
    Then the log server gets every request once, in order, within the delivery bound
    And it gets them in batches of 3 and 4
    And each try of a batch carried the same
