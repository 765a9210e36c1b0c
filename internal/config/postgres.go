package config

import "github.com/annalhq/annal/internal/postgres"

// Postgres says how this process reaches the database.
func (c Config) Postgres() postgres.Access {
	return postgres.Access{
		Owner: c.PostgresURL,
		Own: map[postgres.Service]string{
			postgres.Relay: c.PostgresRelayURL, postgres.Sagas: c.PostgresSagasURL, postgres.Vault: c.PostgresVaultURL,
			postgres.Projector: c.PostgresProjectorURL, postgres.Queries: c.PostgresQueriesURL,
		},
		OneLogin: c.PostgresRoles == "none",
	}
}
