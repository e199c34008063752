@must @queue-http-log @process
Feature: An orderly stop loses nothing that can be delivered, a sudden one does
  Queues are in memory. A node that is asked to end sends what waits without waiting for batches to
  fill; a node that is killed takes it along.

  @QUE-24 @QUE-25 @Q15 @Q16 @P72 @P73
  Scenario Outline: What waits is sent when a node is stopped by <signal>
    Given a cluster of 1 node
    And the queue's max_batch_size is 1000
    And the queue's max_coalescing_delay is 600 s
    And every request is logged
    And 5 requests were sent
    When node 1 is stopped by <signal>
    Then the log server gets every request once, in order, within the prompt bound
    And it gets them in batches of 5
    And node 1 ended within the flush bound

    Examples:
      | signal  |
      | SIGTERM |
      | SIGINT  |
      | SIGQUIT |

  @QUE-24
  Scenario: A request that is being answered when a node is stopped is logged as well
    Given a cluster of 1 node
    And the upstream takes 500 ms to answer
    And every request is logged
    And the log server takes 0.3 s to answer
    And a request is being answered
    When node 1 is stopped
    Then the log server gets every request once, in order, within the prompt bound

  @QUE-12 @Q14
  Scenario: What waits in a node that is killed is lost, and what comes later is not
    Given a cluster of 1 node
    And the queue's max_batch_size is 10
    And the queue's max_coalescing_delay is 1 s
    And every request is logged
    And 5 requests were sent
    And node 1 is killed
    And node 1 is started
    When 10 requests are sent
    Then the log server gets requests 6 to 15 once, in order, within the delivery bound
    And it gets nothing more during the next 1 s

  @beyond @P72
  Scenario: A stop gives up on a log server that is down, and counts what is lost
    Given a cluster of 1 node
    And queue_flush_timeout is 1 s
    And every request is logged
    And the log server answers 500
    And a request is on its way to the log server
    And 4 requests were sent
    When node 1 is stopped
    Then node 1 ended within the flush bound
    And node 1 logs once that 5 entries are lost by the stop
