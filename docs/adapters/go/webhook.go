// Webhooks of Twilio and WhatsApp, acknowledged at once: webhook PORT QUEUE
//
// A webhook only writes down what is to be stored. `adapter work QUEUE` stores it. Check the
// provider's signature first: see docs/adapters/webhooks.md.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const most = 1024 * 1024 // bytes of a webhook's body

var unsafe = regexp.MustCompile("[^A-Za-z0-9_-]")

type media struct{ ID, Filename string }

type notification struct {
	Entry []struct {
		Changes []struct {
			Value struct {
				Messages []struct{ Image, Audio, Video, Document, Sticker *media }
			}
		}
	}
}

func main() {
	http.HandleFunc("/twilio", acknowledge(fromTwilio))
	http.HandleFunc("/whatsapp", acknowledge(fromWhatsApp))
	server := http.Server{Addr: "127.0.0.1:" + os.Args[1], ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func acknowledge(writeAll func(*http.Request) error) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		request.Body = http.MaxBytesReader(response, request.Body, most)
		if err := writeAll(request); err != nil {
			// The provider sends it again.
			http.Error(response, err.Error(), http.StatusInternalServerError)
		}
	}
}

func fromTwilio(request *http.Request) error {
	count, _ := strconv.Atoi(request.PostFormValue("NumMedia"))
	for nth := 0; nth < count; nth++ {
		url := request.PostFormValue(fmt.Sprintf("MediaUrl%d", nth))
		if err := writeDown(path.Base(url), "twilio", url, ""); err != nil {
			return err
		}
	}
	return nil
}

func fromWhatsApp(request *http.Request) error {
	var all notification
	if err := json.NewDecoder(request.Body).Decode(&all); err != nil {
		return err
	}
	for _, entry := range all.Entry {
		for _, change := range entry.Changes {
			for _, message := range change.Value.Messages {
				kinds := []*media{message.Image, message.Audio, message.Video, message.Document, message.Sticker}
				for _, file := range kinds {
					if file == nil {
						continue
					}
					if err := writeDown(file.ID, "whatsapp", file.ID, file.Filename); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// writeDown survives a restart. A notification that comes twice writes the same file.
func writeDown(id string, lines ...string) error {
	file, err := os.CreateTemp(os.Args[2], "*.new")
	if err != nil {
		return err
	}
	defer file.Close()
	for at, line := range lines {
		lines[at] = strings.ReplaceAll(line, "\n", " ")
	}
	if _, err := file.WriteString(strings.Join(lines, "\n")); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	job := filepath.Join(os.Args[2], unsafe.ReplaceAllString(id, "")+".job")
	return os.Rename(file.Name(), job)
}
