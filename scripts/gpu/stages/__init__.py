"""One module per stage of the check, each with `run(context, results, stage)`."""
