@story
Feature: The scenarios of a story share their notes
  Scenario: It begins
    When "milk" is noted
    Then there are 2 notes

  Scenario: It goes on
    When "bread" is noted
    Then there are 3 notes
