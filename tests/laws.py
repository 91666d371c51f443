"""What a chip does, in real numbers: laws of the integers that a recipe derives and both twins share.

Each law plays chips and compares what they do with what the equations of docs/contract.md mean for real numbers, or with the contract's
own formulas, never with the recipe's derived integers. A law raises AssertionError. `LAWS` has them by name.
"""

import laws_of_numbers
import laws_of_programs
import laws_of_sizes

LAWS = {
    name: found
    for module in (laws_of_numbers, laws_of_sizes, laws_of_programs)
    for name, found in vars(module).items()
    if hasattr(found, "is_law")
}
