package suite_test

func conditionScenarios() []scenario { return nil }
