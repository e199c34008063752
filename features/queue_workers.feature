@must @queue-http-log
Feature: A log server meets no more than one delivery at a time from each queue
  One timer works on a queue while it holds something, and each worker has queues of its own. Without a
  queue every request would be one for the log server, and all of them at once.

  @QUE-02 @QUE-08 @QUE-21 @Q12 @P75
  Scenario: However many clients there are, deliveries follow one another
    Given a cluster of 1 node
    And every request is logged
    And the log server takes 0.05 s to answer
    When 20 requests are sent at once
    Then the log server gets every request once within the delivery bound
    And no more than 1 delivery is under way at a time

  @QUE-06 @QRF-08 @Q12
  Scenario: Without a queue each request is a delivery, all at once
    Given a cluster of 1 node
    And the queue's concurrency_limit is -1
    And every request is logged
    And the log server takes 0.5 s to answer
    When 20 requests are sent at once
    Then the log server gets every request once within the delivery bound
    And at least 10 deliveries are under way at a time
    And it gets 20 deliveries

  @QUE-06
  Scenario: With batches a few deliveries carry all requests
    Given a cluster of 1 node
    And the queue's max_batch_size is 20
    And every request is logged
    When 20 requests are sent at once
    Then the log server gets every request once within the delivery bound
    And it gets 1 delivery

  @QUE-11 @QRF-09 @Q13 @workers
  Scenario: Each worker has a queue of its own
    Given a cluster of 1 node
    And nginx_worker_processes is 3
    And every request is logged
    And the log server takes 0.1 s to answer
    When 40 requests are sent at once
    Then the log server gets every request once within the delivery bound
    And at least 2 deliveries are under way at a time
    And no more than 3 deliveries are under way at a time

  @should @QUE-21 @Q21
  Scenario: Two services with equal settings share one queue
    Given a cluster of 1 node
    And every request is logged
    And a second service is logged alike
    And the log server takes 0.05 s to answer
    When 10 requests are sent to both services in turn
    Then the log server gets every request once, in order, within the delivery bound
    And no more than 1 delivery is under way at a time

  @beyond @P82 @Q22
  Scenario: Another timeout is another queue
    Given a cluster of 1 node
    And every request is logged
    And a second service is logged with another timeout
    And the log server takes 0.3 s to answer
    When 4 requests are sent to both services in turn
    Then the log server gets every request once within the delivery bound
    And at least 2 deliveries are under way at a time

  @QUE-21 @QUE-22 @QUE-23 @Q25 @timers
  Scenario: A queue is at work while it holds entries, and only then
    Given a cluster of 1 node
    And every request is logged
    And node 1 lists no queue at work
    And the log server answers 500
    When a request is on its way to the log server
    And node 1 lists one queue at work
    And the log server is well again
    Then the log server gets every request once, in order, within the delivery bound
    And node 1 lists no queue at work

  @QUE-22 @QUE-23
  Scenario: A queue that was empty begins at once with the next entry
    Given a cluster of 1 node
    And every request is logged
    And 1 request was sent
    And the log server has got every request once, in order, within the prompt bound
    When 2 requests are sent
    Then the log server gets every request once, in order, within the prompt bound
