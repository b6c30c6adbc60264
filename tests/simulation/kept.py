"""
Seeds that once went wrong, run for ever.

A seed shows the same run only as long as the simulation draws the same luck. What it
showed is therefore also planted again, as a bug (`bugs.FOUND`): that is what lasts.
"""

KEPT = {
    10: "a rival was ruled out by bytes, but its file had grown: adopted by another",
    40115: "a start was held while Jet was looked at, and then found absent: a fall",
    10012: "a record that was read as the worker's look at Kafka failed: thrown away",
    40700: "the state grew between the question for its ends and the reading: KeyError",
    70580: "a partition was restored as the worker left: what it began was cut off",
    990036: "what was handed over was overtaken after a growth: answered in reverse",
    211428: "a start in flight was told why the route waits: begun no more, and set aside",
    193: "a start left while Jet held starts back: its turn had been taken before",
}
