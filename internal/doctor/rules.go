package doctor

// streamRules are of both streams. Sizes and replicas have checks of their own, and whoever makes a stream may choose them.
var streamRules = map[string]rule{
	"name": {}, "description": {}, "metadata": {}, "placement": {}, "first_seq": {}, "mirror_direct": {}, "template_owner": {},
	"num_replicas": {}, "max_bytes": {}, "max_msg_size": {}, "allow_atomic": {}, "allow_batched": {}, "deny_delete": {},

	"subjects":     {Fail, "what is reported elsewhere is not stored", false}, // those that lack are added by a fix of its own
	"retention":    {Fail, "messages go before they are persisted", true},
	"discard":      {Fail, "a full stream drops what nobody has persisted yet", true},
	"max_age":      {Fail, "it deletes what nobody has persisted yet", true},
	"storage":      {Fail, "a restart of the server loses everything", false},
	"sealed":       {Fail, "it takes nothing", false},
	"deny_purge":   {Fail, "history cannot be trimmed, so that it fills up and refuses reports", false},
	"no_ack":       {Fail, "nobody hears that a report is stored", true},
	"persist_mode": {Fail, "it acknowledges before it has written", false},
	"mirror":       {Fail, "a mirror takes no reports", false},

	"max_msgs":                  {Fail, "it refuses or drops messages while it has room", true},
	"max_msgs_per_subject":      {Fail, "it refuses or drops messages of a producer while it has room", true},
	"allow_rollup_hdrs":         {Fail, "a reporter can delete what others have reported", true},
	"allow_msg_ttl":             {Fail, "a reporter can let messages go before they are persisted", false},
	"subject_delete_marker_ttl": {Fail, "it adds messages that nobody reported", false},
	"allow_msg_counter":         {Fail, "it replaces what is reported by counters", false},
	"allow_msg_schedules":       {Fail, "a reporter can delay and repeat messages", false},
	"subject_transform":         {Fail, "messages are stored under other subjects than they were reported to", false},

	"discard_new_per_subject": {Note, "it says nothing without a limit per subject", false},
	"max_consumers":           {Warn, "reads, flushes and the janitor need consumers of their own", false},
	"consumer_limits":         {Fail, "the consumer katib-db asks for more", true},
	"sources":                 {Warn, "messages come from elsewhere, too", false},
	"republish":               {Note, "messages go elsewhere, too", false},
	"allow_direct":            {Warn, "reads are slower, and burden the leader", true},
	"compression":             {Note, "it takes more room on the disk", false},
	"duplicate_window":        {Note, "the server recognises repeated messages for another time; the database always does", false},
}

// consumerRules are of the durable consumer. Safe are only those that nothing was passed over by.
var consumerRules = map[string]rule{
	"name": {}, "durable_name": {}, "description": {}, "metadata": {}, "sample_freq": {},

	"ack_policy":     {Fail, "messages are acknowledged that nobody has persisted", false},
	"deliver_policy": {Fail, "it begins in the middle of the stream", false},
	"opt_start_seq":  {Fail, "it begins in the middle of the stream", false},
	"opt_start_time": {Fail, "it begins in the middle of the stream", false},
	"replay_policy":  {Fail, "messages come as slowly as they were reported", false},
	"max_deliver":    {Fail, "messages are given up while the database is away", false}, // and those stay given up
	"headers_only":   {Fail, "messages come without their events, which makes dead letters of them", true},

	// Without its filter it would go on where it stands: what it passed over would never come.
	"filter_subject":     {Fail, "messages of other subjects are never persisted", false},
	"filter_subjects":    {Fail, "messages of other subjects are never persisted", false},
	"deliver_subject":    {Fail, "messages are pushed, where consumers ask for them", false},
	"deliver_group":      {Fail, "messages are pushed, where consumers ask for them", false},
	"flow_control":       {Fail, "messages are pushed, where consumers ask for them", false},
	"idle_heartbeat":     {Fail, "messages are pushed, where consumers ask for them", false},
	"inactive_threshold": {Fail, "it goes, and what it knows, when all consumers are away for a while", true},
	"priority_policy":    {Fail, "consumers ask without a group, and get nothing", true},
	"priority_groups":    {Fail, "consumers ask without a group, and get nothing", true},
	"priority_timeout":   {Fail, "consumers ask without a group, and get nothing", true},
	"max_batch":          {Fail, "what consumers ask for is refused", true},
	"max_expires":        {Fail, "what consumers ask for is refused", true},
	"max_bytes":          {Fail, "what consumers ask for is refused", true},
	"rate_limit_bps":     {Fail, "messages come slowly", true},
	"pause_until":        {}, // it has a check of its own

	"max_ack_pending": {Warn, "messages wait while that many are in hand", true},
	"backoff":         {Warn, "it replaces the acknowledgement wait", true},
	"mem_storage":     {Warn, "a restart of the server delivers everything again", false},
	"ack_wait":        {Note, "a crashed consumer's messages are delivered again after that; --ack-wait chooses it", false},
	"max_waiting":     {Note, "that many requests may wait", false},
	"num_replicas":    {Note, "it has not as many copies as the stream", false},
}
