package site

import "time"

// Sync is how "umagate serve" keeps the resources at the AS as they are declared.
type Sync struct {
	// How often the AS is looked at for what somebody changed there. Default 5m.
	Interval time.Duration `yaml:"interval" range:"10s to 24h, such as 5m"`
	// How many resources are deleted at once without being asked; more than that,
	// and none is, until "umagate apply" is told to. Deleting a resource takes the
	// policies on it away for good. Default 3; 0 deletes none.
	MaxDeletions int `yaml:"max_deletions" range:"1" zero:"none"`
	// How many calls to the AS are under way at a time. Default 4.
	Concurrency int `yaml:"concurrency" range:"1 to 64"`
}
