package smallfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/smallfile"
)

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fits, large := filepath.Join(dir, "fits"), filepath.Join(dir, "large")
	require.NoError(t, os.WriteFile(fits, make([]byte, smallfile.Max), 0o600))
	require.NoError(t, os.WriteFile(large, make([]byte, smallfile.Max+1), 0o600))
	text, err := smallfile.Read(fits)
	require.NoError(t, err)
	require.Len(t, text, smallfile.Max)
	_, err = smallfile.Read(large)
	require.ErrorContains(t, err, large+": has more than 4 MiB")
	_, err = smallfile.Read("/dev/zero")
	require.ErrorContains(t, err, "has more than")
	_, err = smallfile.Read(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
