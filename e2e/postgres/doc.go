// Package postgres finds and runs a real PostgreSQL for tests, as package
// keycloak does Keycloak. Tests use it by package postgrestest.
package postgres
