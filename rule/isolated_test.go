package rule_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/rule"
)

func TestIsolatedEngineSeesAndChangesNothing(t *testing.T) {
	t.Setenv("EMQXVAR_SECRET", "s3cret")
	engine, err := rule.NewEngine(rule.EngineConfig{
		Getenv:    func(string) string { return "s3cret" },
		Functions: []rule.Function{{Name: "mine", Call: func(*rule.Call, []any) (any, error) { return "mine", nil }}},
	})
	require.NoError(t, err)
	run := func(e *rule.Engine, sql string) string {
		result, err := rule.Test(rule.TestInput{SQL: sql, Engine: e})
		require.NoError(t, err)
		return result.JSON[0]
	}
	require.JSONEq(t, `{"e":"s3cret","k":true}`, run(engine, `SELECT getenv('SECRET') AS e, kv_store_put('a', 'private') AS k FROM "#"`))
	isolated := engine.Isolated()
	require.JSONEq(t, `{"e":"","m":"mine"}`, run(isolated, `SELECT getenv('SECRET') AS e, mine() AS m FROM "#"`))
	require.JSONEq(t, `{"k":"none"}`, run(isolated, `SELECT kv_store_get('a', 'none') AS k FROM "#"`))
	require.JSONEq(t, `{"k":true}`, run(isolated, `SELECT kv_store_put('a', 'changed') AS k FROM "#"`))
	require.JSONEq(t, `{"k":"private"}`, run(engine, `SELECT kv_store_get('a', 'none') AS k FROM "#"`))
}
