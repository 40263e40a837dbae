Feature: The CI workflow is the one this project needs

  Background:
    Given the workflow in .forgejo/workflows/ci.yml

  Scenario: The workflow is complete and in order
    Then nothing is wrong with the workflow

  Scenario Outline: A step that is taken out is missed
    When the step "<step>" is taken out
    Then the workflow is refused: "<reason>"

    Examples:
      | step                                | reason                             |
      | Check out                           | no step checks the project out     |
      | Install the distribution's packages | no step installs nox               |
      | Run the tests                       | no step runs nox                   |
      | Restore or build the template       | no step restores the template      |
      | Save the template                   | no step saves the template, always |

  Scenario Outline: A step that comes too late is noticed
    When the step "<step>" is moved to the end
    Then the workflow is refused: "<reason>"

    Examples:
      | step                                | reason                                    |
      | Check out                           | the project is checked out after nox runs |
      | Install the distribution's packages | nox is installed after it runs            |
      | Restore or build the template       | the template is restored after nox runs   |
