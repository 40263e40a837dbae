Feature: The CI workflow is the one this project needs
  Without the cached template every run would migrate again, and only the time would show it.

  Background:
    Given the workflow in .forgejo/workflows/ci.yml

  Scenario: The workflow is complete and in order
    Then nothing is wrong with the workflow

  Scenario Outline: A step that is taken out is missed
    When the step "<step>" is taken out
    Then the workflow is refused: "<reason>"

    Examples:
      | step                                | reason                                    |
      | Check out                           | no step checks the project out            |
      | Install the distribution's packages | no step installs nox                      |
      | Run the tests                       | no step runs nox                          |
      | Compute the template's key          | no step caches the template under its key |
      | Cache the template                  | no step caches the template under its key |

  Scenario Outline: A step that comes too late is noticed
    When the step "<step>" is moved to the end
    Then the workflow is refused: "<reason>"

    Examples:
      | step                                | reason                                    |
      | Check out                           | the project is checked out after nox runs |
      | Install the distribution's packages | nox is installed after it runs            |
      | Compute the template's key          | no step caches the template under its key |
      | Cache the template                  | the template is restored after nox runs   |

  Scenario Outline: A cache of anything but the template of this key is none
    When the step "Cache the template" has the <setting> "<value>"
    Then the workflow is refused: "no step caches the template under its key"

    Examples:
      | setting | value                             |
      | key     | mintfs                            |
      | key     | ${{ hashFiles('migrations/**') }} |
      | path    | ~/.cache/mintfs                   |
      | path    | ~/.cache/mintfs/v1/templates      |
