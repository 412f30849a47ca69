package torture

import (
	"math/big"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// middle is where the second half of a range of hash keys begins.
func middle(r *types.HashKeyRange) *string {
	from, _ := new(big.Int).SetString(aws.ToString(r.StartingHashKey), 10)
	to, _ := new(big.Int).SetString(aws.ToString(r.EndingHashKey), 10)
	sum := from.Add(from, to)
	return aws.String(sum.Rsh(sum, 1).Add(sum, big.NewInt(1)).String())
}
