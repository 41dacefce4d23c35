// Go's net/http: see tests/clients/run.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

func main() {
	how, target, name := os.Args[2], os.Args[3], os.Args[5]
	content, err := os.ReadFile(os.Args[4])
	check(err)
	count, err := strconv.Atoi(os.Args[6])
	check(err)
	query := url.Values{"channel": {"sms"}, "name": {name}}.Encode()
	for ; count > 0; count-- {
		body, kind, to := io.Reader(bytes.NewReader(content)), "application/octet-stream", target+"?"+query
		switch how {
		case "form":
			body, kind, to = form(name, content, target)
		case "stream":
			// Of another type than net/http knows, so that it can't tell the length.
			body = io.MultiReader(body)
		}
		began := time.Now()
		response, err := http.Post(to, kind, body)
		check(err)
		answer, err := io.ReadAll(response.Body)
		check(err)
		check(response.Body.Close())
		took := time.Since(began)
		var line bytes.Buffer
		check(json.Compact(&line, answer))
		fmt.Printf("%.1f %s\n", float64(took.Microseconds())/1000, line.String())
	}
}

func form(name string, content []byte, target string) (io.Reader, string, string) {
	buffer := new(bytes.Buffer)
	form := multipart.NewWriter(buffer)
	check(form.WriteField("channel", "sms"))
	part, err := form.CreateFormFile("file", name)
	check(err)
	_, err = part.Write(content)
	check(err)
	check(form.Close())
	return buffer, form.FormDataContentType(), target
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
