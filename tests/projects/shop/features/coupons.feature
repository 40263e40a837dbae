@database
Feature: Coupons

  Scenario Outline: What a coupon takes off
    Given ada's cart holds
      | product | quantity |
      | APRON   | 1        |
    When she uses the coupon <code>
    And she checks out
    Then the order costs <total>, 4.90 of it for shipping

    Examples:
      | code      | total |
      | WELCOME10 | 31.00 |
      | FIVER     | 28.90 |
      | ONCE      | 28.10 |

  Scenario Outline: Coupons that are refused
    Given ada's cart holds
      | product   | quantity |
      | SEED-DILL | 3        |
    When she uses the coupon <code>
    Then she is told "<message>"

    Examples:
      | code     | message                               |
      | FIVER    | FIVER is for orders of 25.00 and more |
      | SUMMER23 | SUMMER23 expired on 2023-09-30        |
      | FREE     | no coupon FREE                        |

  Scenario: A coupon that works once
    Given grace has ordered 1 of APRON with the coupon ONCE
    And ada's cart holds
      | product | quantity |
      | APRON   | 1        |
    When she uses the coupon ONCE
    Then she is told "ONCE has been used up"

  Scenario: A cancelled order gives its coupon back
    Given grace has ordered 1 of APRON with the coupon ONCE
    And she has cancelled the order
    And ada's cart holds
      | product | quantity |
      | APRON   | 1        |
    When she uses the coupon ONCE
    And she checks out
    Then the order is new
