package metricline

import "testing"

// The cases of Katib's collector, and what it leaves open. Where it fails the whole log, a line is counted here.
func TestJSON(t *testing.T) {
	t.Parallel()
	loss := []string{"loss"}
	tests := map[string]struct {
		cfg        Config
		text, want string
		unreadable int
	}{
		"Katib's own": {
			Config{Metrics: []string{"acc", "loss"}},
			`{"checkpoint_path": "", "global_step": "0", "loss": "0.22082142531871796", "timestamp": 1638422847.28721, "trial": "0"}
{"acc": "0.9349666833877563", "checkpoint_path": "", "global_step": "0", "timestamp": 1638422847.287801, "trial": "0"}
{"checkpoint_path": "", "global_step": "1", "loss": "0.1414974331855774", "timestamp": "2021-12-02T14:27:50.000035161+09:00", "trial": "0"}
{"acc": "0.9586416482925415", "checkpoint_path": "", "global_step": "1", "timestamp": "2021-12-02T14:27:50.000037459+09:00", "trial": "0"}
{"checkpoint_path": "", "global_step": "2", "loss": "0.10683439671993256", "trial": "0"}`,
			"2021-12-02T05:27:27.28721Z, loss 0.22082142531871796\n2021-12-02T05:27:27.287801Z, acc 0.9349666833877563\n" +
				"2021-12-02T05:27:50.000035161Z, loss 0.1414974331855774\n2021-12-02T05:27:50.000037459Z, acc 0.9586416482925415\nloss 0.10683439671993256", 0,
		},
		"a time that is none":         {Config{Metrics: loss}, `{"loss": "0.2", "timestamp": "invalid"}`, "loss 0.2", 0},
		"a time of another kind":      {Config{Metrics: loss}, `{"loss": 1, "timestamp": {}}` + "\n" + `{"loss": 2, "timestamp": null}`, "loss 1\nloss 2", 0},
		"Unix time as text":           {Config{Metrics: loss}, `{"loss": 1, "timestamp": "1638422847.000000001"}`, "2021-12-02T05:27:27.000000001Z, loss 1", 0},
		"Unix time, whole":            {Config{Metrics: loss}, `{"loss": 1, "timestamp": 1638422847}`, "2021-12-02T05:27:27Z, loss 1", 0},
		"Unix time, finer than nanos": {Config{Metrics: loss}, `{"loss": 1, "timestamp": 1638422847.0000000019}`, "2021-12-02T05:27:27.000000001Z, loss 1", 0},
		"Unix time out of range":      {Config{Metrics: loss}, `{"loss": 1, "timestamp": 99999999999999999999}`, "loss 1", 0},
		"Unix time, an exponent":      {Config{Metrics: loss}, `{"loss": 1, "timestamp": 1e9}`, "loss 1", 0},
		"Unix time, a fraction":       {Config{Metrics: loss}, `{"loss": 1, "timestamp": "1/3"}`, "loss 1", 0},
		"no JSON":                     {Config{Metrics: loss}, `{"loss": "0.2", "timestamp"`, "", 1},
		"no JSON, no metric":          {Config{Metrics: loss}, `{"lr": "0.2"`, "", 0},
		"text between":                {Config{Metrics: loss}, "epoch 1, loss is\n\n{\"loss\": 0.5}\nloss: 3\n", "loss 0.5", 1},
		"an array":                    {Config{Metrics: loss}, `[{"loss": 0.5}]`, "", 1},
		"over several lines":          {Config{Metrics: loss}, "{\n  \"loss\": 0.5\n}\n", "", 1},
		"numbers":                     {Config{Metrics: loss}, `{"loss": 0.50}` + "\n" + `{"loss": -1E+5}`, "loss 0.50\nloss -1E+5", 0},
		"NaN as text":                 {Config{Metrics: loss}, `{"loss": "NaN"}` + "\n" + `{"loss": "-Infinity"}`, "loss NaN\nloss -Infinity", 0},
		"NaN as Python writes it":     {Config{Metrics: loss}, `{"loss": NaN}`, "", 1},
		"values of other kinds":       {Config{Metrics: loss}, `{"loss": null}` + "\n" + `{"loss": true}` + "\n" + `{"loss": [1]}` + "\n" + `{"loss": {"loss": 1}}` + "\n" + `{"loss": "high"}` + "\n" + `{"loss": ""}`, "", 6},
		"names asked for":             {Config{Metrics: []string{"b", "a"}}, `{"b": 2, "c": "x", "a": 1}`, "a 1, b 2", 0},
		"all names":                   {Config{}, `{"b": 2, "c": "x", "a": 1, "timestamp": 0}`, "1970-01-01T00:00:00Z, a 1, b 2", 0},
		"part of a name":              {Config{Metrics: loss}, `{"val_loss": 0.5}`, "", 0},
		"the time as a metric":        {Config{Metrics: []string{"timestamp"}}, `{"timestamp": 1}`, "1970-01-01T00:00:01Z, timestamp 1", 0},
		"twice":                       {Config{Metrics: loss}, `{"loss": 1, "loss": 2}`, "loss 2", 0},
		"step":                        {Config{Metrics: loss, Step: "epoch"}, `{"loss": 1, "epoch": 3}` + "\n" + `{"epoch": "4", "loss": 2}` + "\n" + `{"epoch": 0.5, "loss": 3}`, "step 3, loss 1\nstep 4, loss 2\nloss 3", 0},
		"CRLF and space":              {Config{Metrics: loss}, "  {\"loss\": 1} \r\n\t{\"loss\": 2}\r\n", "loss 1\nloss 2", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Format = JSON
			check(t, tt.cfg, tt.text, tt.want, tt.unreadable)
		})
	}
}
