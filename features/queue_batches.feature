@must @queue-http-log
Feature: The queue groups entries before it sends them
  Many entries travel in one request. A batch leaves when it is full or, at the latest, when its first
  entry has waited for max_coalescing_delay.

  @QUE-07 @QUE-10 @QUE-13 @QUE-14 @QRF-01 @QRF-02 @Q4
  Scenario: Full batches leave at once, the rest when it is due
    Given a cluster of 1 node
    And the queue's max_batch_size is 10
    And the queue's max_coalescing_delay is 1 s
    And every request is logged
    When 25 requests are sent
    Then the log server gets every request once, in order, within the delivery bound
    And it gets them in batches of 10, 10 and 5
    And each batch that did not fill was sent when it was due

  @should @QRF-01 @Q3
  Scenario: A full batch does not wait for its time
    Given a cluster of 1 node
    And the queue's max_batch_size is 10
    And the queue's max_coalescing_delay is 30 s
    And every request is logged
    When 10 requests are sent
    Then the log server gets every request once, in order, within the prompt bound
    And it gets them in batches of 10

  @should @QRF-02 @Q2 @P79 @P90
  Scenario: A single entry waits for its batch to fill, and no longer
    Given a cluster of 1 node
    And the queue's max_batch_size is 10
    And the queue's max_coalescing_delay is 1 s
    And every request is logged
    When 1 request is sent
    Then the log server gets every request once, in order, within the delivery bound
    And each batch that did not fill was sent when it was due

  @should @QRF-02
  Scenario: Further entries do not put off a batch that is due
    Given a cluster of 1 node
    And the queue's max_batch_size is 100
    And the queue's max_coalescing_delay is 1 s
    And every request is logged
    When 6 requests are sent 0.3 s apart
    Then the log server gets every request once, in order, within the delivery bound
    And each batch that did not fill was sent when it was due

  @should @QRF-02
  Scenario: What came during a slow delivery has its whole time to fill a batch
    Given a cluster of 1 node
    And the queue's max_batch_size is 10
    And the queue's max_coalescing_delay is 0.5 s
    And the log server takes 0.6 s to answer
    And every request is logged
    When 2 requests are sent 0.8 s apart
    Then the log server gets every request once, in order, within the delivery bound
    And each batch that did not fill was sent when it was due

  @beyond @P76
  Scenario Outline: A queue of <entries> entries lets its oldest go while a batch of 10 fills
    Given a cluster of 1 node
    And the queue's max_batch_size is 10
    And the queue's max_coalescing_delay is 1 s
    And the queue's max_entries is <entries>
    And every request is logged
    When <sent> requests are sent
    Then the log server gets <kept> once, in order, within the delivery bound

    Examples:
      | entries | sent | kept            |
      | 4       | 7    | requests 4 to 7 |
      | 10      | 10   | every request   |

  @beyond @P77 @long
  Scenario: A batch may be as large as it is said to be
    Given a cluster of 1 node
    And the queue's max_batch_size is 20000
    And the queue's max_entries is 30000
    And the queue's max_coalescing_delay is 60 s
    And every request is logged
    When 20000 requests are sent
    Then the log server gets every request once, in order, within the delivery bound
    And it gets them in batches of 20000
