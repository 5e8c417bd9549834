package natsconn

// Each gives a Config for each of the servers alone, with the same credentials. Every error is a *ConfigError.
func (c Config) Each() ([]Config, error) {
	options, err := c.options()
	if err != nil {
		return nil, err
	}
	each := make([]Config, len(options.Servers))
	for i, server := range options.Servers {
		each[i] = c
		each[i].only = server
	}
	return each, nil
}
