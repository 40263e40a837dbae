Feature: Each scenario has its own notes
  Scenario: One is added
    When "milk" is noted
    Then there are 2 notes

  Scenario: Another knows nothing of it
    Then there are 1 notes
