// Renders templates as Ollama does: Go's text/template, given .System and .Messages.
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type Message struct{ Role, Content string }

type Case struct {
	Template, System string
	Messages         []Message
}

func main() {
	var cases []Case
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	var texts []string
	for _, each := range cases {
		var written strings.Builder
		parsed := template.Must(template.New("").Parse(each.Template))
		if err := parsed.Execute(&written, map[string]any{"System": each.System, "Messages": each.Messages}); err != nil {
			panic(err)
		}
		texts = append(texts, written.String())
	}
	if err := json.NewEncoder(os.Stdout).Encode(texts); err != nil {
		panic(err)
	}
}
