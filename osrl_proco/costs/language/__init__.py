"""The language of cost functions: grammar, operations, interpreter."""
