@database
Feature: Checkout
  What is in the cart becomes an order, at today's prices.

  Scenario: An order within the country
    Given ada's cart holds
      | product   | quantity |
      | MUG-RED   | 2        |
      | BOOK-SOUP | 1        |
    When she checks out
    Then the order costs 52.70, 4.90 of it for shipping
    And the order is new
    And 48 of MUG-RED are left

  Scenario: From fifty on shipping is free
    Given ada's cart holds
      | product    | quantity |
      | KNIFE-CHEF | 1        |
    When she checks out
    Then the order costs 89.00, 0.00 of it for shipping

  Scenario: An order abroad
    Given grace's cart holds
      | product    | quantity |
      | KNIFE-CHEF | 1        |
    When she checks out
    Then the order costs 101.90, 12.90 of it for shipping

  Scenario: More than there is
    Given ada's cart holds
      | product    | quantity |
      | BOOK-NIGHT | 3        |
    When she checks out
    Then she is told "BOOK-NIGHT: 3 wanted, 2 available"
    And 2 of BOOK-NIGHT are left

  Scenario: Paying earns points
    Given ada's cart holds
      | product    | quantity |
      | KNIFE-CHEF | 1        |
    When she checks out
    And she pays
    Then the order is paid
    And she has 89 points

  Scenario: Second thoughts
    Given ada's cart holds
      | product | quantity |
      | APRON   | 24       |
    When she checks out
    And she pays
    Then 0 of APRON are left
    When she cancels the order
    Then the order is cancelled
    And 24 of APRON are left
    And she has 0 points
