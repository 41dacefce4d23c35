// Uploads one file with Go's net/http: client form|raw|stream URL FILE. Prints the answer's body.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"mime/multipart"
	"net/http"
	"os"
)

func main() {
	how, url := os.Args[1], os.Args[2]
	content, err := os.ReadFile(os.Args[3])
	check(err)
	body, kind := io.Reader(bytes.NewReader(content)), "application/octet-stream"
	switch how {
	case "form":
		buffer := new(bytes.Buffer)
		form := multipart.NewWriter(buffer)
		check(form.WriteField("channel", "sms"))
		part, err := form.CreateFormFile("file", "file.bin")
		check(err)
		_, err = part.Write(content)
		check(err)
		check(form.Close())
		body, kind = buffer, form.FormDataContentType()
	case "stream":
		// Of another type than net/http knows, so that it can't tell the length.
		body = io.MultiReader(body)
	}
	answer, err := http.Post(url+"?channel=sms&name=file.bin", kind, body)
	check(err)
	_, err = io.Copy(os.Stdout, answer.Body)
	check(err)
	fmt.Println()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
