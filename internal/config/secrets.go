package config

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/annalhq/annal/internal/fault"
)

// Names of the files below Home that hold a developer's own secrets.
const (
	vaultKeyFile = "vault.key"
	tokenKeyFile = "token.key"
)

// VaultKEK returns the 32 bytes that wrap the keys of personal data. In development, if none is configured, one is drawn
// and kept below Home. Faults: SETTING_INVALID, SECRET_UNREADABLE, SECRET_UNWRITABLE.
func (c Config) VaultKEK() ([]byte, error) {
	text, err := c.secret("ANNAL_VAULT_KEY", c.VaultKey, vaultKeyFile)
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != 32 {
		return nil, invalid("ANNAL_VAULT_KEY", "is 32 bytes in base64")
	}
	return raw, nil
}

// TokenSeed returns the seed of the key of bearer tokens, base64, as VaultKEK returns the vault's.
func (c Config) TokenSeed() (string, error) {
	return c.secret("ANNAL_TOKEN_KEY", c.TokenKey, tokenKeyFile)
}

func (c Config) secret(setting, value, file string) (string, error) {
	if value != "" {
		return value, nil
	}
	if c.Mode != Development {
		return "", invalid(setting, "is not set; production needs one of its own (%s_FILE names a file that holds it)", setting)
	}
	return keptSecret(filepath.Join(c.Home, file))
}

// keptSecret reads the file, or draws what it shall hold. Of two processes that draw at once one wins, and both use it.
func keptSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		return string(text), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fault.Wrap(err, fault.Unavailable, "SECRET_UNREADABLE", "a secret of the home can't be read")
	}
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return "", fault.Wrap(err, fault.Internal, "SECRET_UNWRITABLE", "no randomness")
	}
	drawn := base64.StdEncoding.EncodeToString(raw)
	err = writeNew(path, drawn)
	if errors.Is(err, fs.ErrExist) {
		return keptSecret(path)
	}
	return drawn, fault.Wrap(err, fault.Unavailable, "SECRET_UNWRITABLE", "the home can't be written")
}

// writeNew writes a file that only its owner reads: whole or not at all, and never over another.
func writeNew(path, text string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
