# R's httr, over libcurl: see tests/clients/run.
library(httr)

given <- commandArgs(trailingOnly = TRUE)
how <- given[2]; url <- given[3]; path <- given[4]; name <- enc2utf8(given[5])

# It sends a file under the name that it has.
named <- file.path(tempdir(), name)
invisible(file.copy(path, named))

for (round in seq_len(as.integer(given[6]))) {
  began <- proc.time()[["elapsed"]]
  response <- if (how == "form") {
    POST(url, body = list(channel = "sms", file = upload_file(named, "application/octet-stream")), encode = "multipart")
  } else {
    bytes <- readBin(path, "raw", file.size(path))
    POST(url, query = list(channel = "sms", name = name), body = bytes, content_type("application/octet-stream"))
  }
  text <- trimws(content(response, "text", encoding = "UTF-8"))
  cat(sprintf("%.1f ", (proc.time()[["elapsed"]] - began) * 1000), text, "\n", sep = "")
}
