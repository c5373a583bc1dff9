"""What looks at everything and is looked at by nothing: scores on foreign data, the state of a project, benchmarks."""
