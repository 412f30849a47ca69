// Package smallfile reads files that are small by their nature, such as
// definitions, certificates and passwords. A path may lead to a device without
// end, or to a disk's image by mistake; that must not take all memory.
package smallfile

import (
	"fmt"
	"io"
	"os"
)

// Max is the highest size of what is read: far above that of a list of all public
// authorities.
const Max = 4 << 20

// Read returns what is in a file, or an error if that is more than Max bytes.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, Max+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > Max:
		return nil, fmt.Errorf("%s: has more than %d MiB", path, Max>>20)
	}
	return text, nil
}
