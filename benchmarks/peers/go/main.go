// The echo on AWS's runtime for Go.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

// echo decodes and encodes its event, as the other subjects do.
func echo(_ context.Context, event any) (any, error) {
	return event, nil
}

func main() {
	lambda.Start(echo)
}
