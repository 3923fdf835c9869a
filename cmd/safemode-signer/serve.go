//go:build cgo

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"

	"go.uber.org/zap"

	"safemode/cmd/cli"
	"safemode/cmd/signercmd"
	"safemode/config"
	"safemode/engine/token"
)

// program is the running signer's commands, with a token.
func program(streams stdio) signercmd.Program {
	return signercmd.Program{
		Name: "safemode-signer", Out: streams.out, Err: streams.err, Logger: cli.NewLogger,
		Token: func(ctx context.Context, c *config.Signer, log *zap.Logger) (signercmd.Token, error) {
			o := tokenOptions(c.PKCS11)
			o.Log = log
			t, err := token.Open(ctx, o)
			if err != nil {
				return nil, tokenError(err)
			}
			return opened{t}, nil
		},
	}
}

// opened is a token whose keys are [crypto.Signer]s.
type opened struct{ *token.Token }

func (o opened) Signer(ctx context.Context, uri string, public *ecdsa.PublicKey) (crypto.Signer, error) {
	key, err := o.Token.Signer(ctx, uri, public)
	return key, tokenError(err)
}
