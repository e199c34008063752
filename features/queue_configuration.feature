@must @queue-http-log
Feature: The queue's parameters are part of the plugin's configuration
  They have documented defaults and bounds. A queue that holds entries goes on as it began: what is changed
  counts from its next beginning on.

  @should @QUE-14 @QRF-01 @QRF-02 @QRF-03 @QRF-04 @QRF-05 @QRF-06 @QRF-07 @QRF-08
  Scenario Outline: By default <parameter> is <value>
    Given a cluster of 1 node
    When every request is logged
    Then the queue's <parameter> is reported as <value>

    Examples:
      | parameter            | value   |
      | max_batch_size       | 1       |
      | max_coalescing_delay | 1       |
      | max_entries          | 10000   |
      | max_bytes            | nothing |
      | max_retry_time       | 60      |
      | initial_retry_delay  | 0.01    |
      | max_retry_delay      | 60      |
      | concurrency_limit    | 1       |

  @should @QRF-01 @QRF-02 @QRF-03 @QRF-06 @QRF-07 @QRF-08
  Scenario Outline: <parameter> cannot be <value>
    Given a cluster of 1 node
    When a queue is asked for whose <parameter> is <value>
    Then the plugin is refused

    Examples:
      | parameter            | value   |
      | max_batch_size       | 0       |
      | max_coalescing_delay | 3601    |
      | max_entries          | 1000001 |
      | initial_retry_delay  | 0       |
      | max_retry_delay      | 0       |
      | concurrency_limit    | 2       |

  @beyond @Q20
  Scenario: A limit that is raised while the queue is filled counts when it has been empty
    Given a cluster of 1 node
    And the queue's max_entries is 5
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    And the queue's max_entries becomes 50
    And 19 requests were sent
    When the log server is well again
    Then the log server gets requests 1 and 16 to 20 once, in order, within the delivery bound

  @beyond @Q23
  Scenario: What waits when the plugin is deleted is delivered all the same
    Given a cluster of 1 node
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    And 4 requests were sent
    And the plugin is deleted
    When the log server is well again
    Then the log server gets every request once, in order, within the delivery bound

  @beyond @Q30 @P86 @P92
  Scenario: A field of older days works, and is warned of once
    Given a cluster of 1 node
    And log_level is notice
    And the plugin's queue_size is 5
    And every request is logged
    When 15 requests are sent
    Then the log server gets every request once, in order, within the delivery bound
    And it gets them in batches of 5, 5 and 5
    And node 1 logs once that a parameter is deprecated
