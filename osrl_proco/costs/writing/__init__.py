"""From a rule in words to a checked cost function: prompt, language model, checks, transcript."""
