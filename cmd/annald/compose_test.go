package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/annalhq/annal/internal/config"
)

// composeFile is what this test needs of deploy/compose.yaml; tools/compose checks the format itself.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Command     []string
		Environment map[string]string
		Ports       []string
		DependsOn   map[string]any `yaml:"depends_on"`
	}
}

// TestComposeSpeaksOurLanguage holds the compose file to the settings and roles of this build: a renamed setting or role
// would otherwise be noticed by the first user.
func TestComposeSpeaksOurLanguage(t *testing.T) {
	text, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file composeFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var roles []role
	for name, s := range file.Services {
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is not on loopback", name, port)
			}
		}
		if !regexp.MustCompile(`^[a-z/]+:[a-z0-9.-]+$`).MatchString(s.Image) || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: image %q has no version", name, s.Image)
		}
		for other := range s.DependsOn {
			if _, ok := file.Services[other]; !ok {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
		if len(s.Command) == 0 || !strings.HasPrefix(s.Command[0], "--") {
			continue
		}
		asked, err := parseFlags(s.Command, os.Stderr)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var environ []string
		for key, value := range s.Environment {
			environ = append(environ, key+"="+value)
		}
		cfg, err := config.Parse(environ)
		if err != nil || cfg.RabbitMQURL == "" || cfg.StoreIsEmbedded() {
			t.Errorf("%s: %v\n%v", name, err, cfg)
		}
		if asked.migrate {
			continue
		}
		selected, err := parseRoles(asked.roles)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		roles = append(roles, selected.roles...)
		var logins []string
		for service, url := range cfg.Postgres().Own {
			if url != "" {
				logins = append(logins, string(service))
			}
		}
		slices.Sort(logins)
		want := map[string]string{"api": "queries vault", "relay": "relay", "projector": "projector", "worker": "sagas vault"}[name]
		if got := strings.Join(logins, " "); cfg.PostgresURL != "" || got != want {
			t.Errorf("%s has the logins of %s, want %s, and never the owner's", name, got, want)
		}
	}
	slices.Sort(roles)
	if want := []role{roleAPI, roleProjector, roleRelay, roleWorker}; !slices.Equal(roles, want) {
		t.Errorf("roles %v, want %v", roles, want)
	}
}
