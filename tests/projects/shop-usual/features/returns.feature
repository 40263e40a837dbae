@database
Feature: Returns
  Goods may come back within thirty days.

  Background:
    Given ada has ordered 3 of MUG-RED
    And the order has been paid and delivered

  Scenario: One of three comes back
    When she returns 1 of MUG-RED after 10 days
    Then she gets 12.90 back
    And 48 of MUG-RED are left

  Scenario: Nothing comes back twice
    When she returns 2 of MUG-RED after 10 days
    And she returns 2 of MUG-RED after 12 days
    Then she is told "S-2025-000001: 1 of MUG-RED can be returned, not 2"
    And 49 of MUG-RED are left

  Scenario: Too late
    When she returns 1 of MUG-RED after 31 days
    Then she is told "S-2025-000001 was delivered on 2025-03-03: too long ago"
    And 47 of MUG-RED are left
