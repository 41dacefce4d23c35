//! The closed vocabulary: each type's one name, the extensions that mean it, other names seen in
//! the wild, and what its bytes look like from outside. Data with lookups; no bytes are read here.
//!
//! Names are IANA's where it has one; aliases and the rest are those of browsers, phones and
//! Windows. Within a row the first extension is the one given to a file that has none.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use self::MediaForm::*;

/// What the bytes of a type look like from outside. Types of one form can't be distinguished by
/// the bytes alone, so among them the extension or the declared type decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaForm {
    /// A signature of its own: never believed without it.
    Signed,
    /// No signature that is known here: believed when the bytes are unknown too.
    Opaque,
    Text,
    Script,
    Html,
    Xml,
    Json,
    Zip,
    /// Made of zip and made to run.
    App,
    Word,
    Excel,
    Slides,
    Ole,
    Mp4,
    Mp4Sound,
    ThreeGp,
    ThreeGpSound,
    Heif,
    Webm,
    WebmSound,
    Matroska,
    MatroskaSound,
    Ogg,
    Asf,
    Tiff,
    Gzip,
    /// Text, or packed by gzip, of which the name tells.
    Svg,
    /// Sound that may stand behind an ID3 tag; else as `Signed`.
    Tagged,
}

/// One type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MediaRow {
    pub(super) essence: &'static str,
    pub(super) form: MediaForm,
    extensions: &'static str,
    aliases: &'static str,
}

impl MediaRow {
    /// The extension for a file that has none, lower case, no dot.
    pub(super) fn extension(&self) -> &'static str {
        self.extensions.split(' ').next().unwrap_or_default()
    }

    /// Whether `extension` (any case, no dot) means this type.
    pub(super) fn has(&self, extension: &str) -> bool {
        by_extension(extension).any(|row| std::ptr::eq(row, self))
    }

    /// Whether a file of this type is made to run.
    pub(super) fn is_executable(&self) -> bool {
        EXECUTABLE_PATTERNS.contains(&self.essence)
    }
}

/// Rows by a word in lower case: a walk of the table for each question would cost more than all
/// else of a small upload.
type Index<T> = LazyLock<HashMap<&'static str, T>>;

static BY_ESSENCE: Index<&MediaRow> = LazyLock::new(|| {
    let mut rows = HashMap::new();
    for row in ROWS {
        for alias in row.aliases.split_ascii_whitespace() {
            rows.insert(alias, row);
        }
        rows.insert(row.essence, row);
    }
    rows
});

static BY_EXTENSION: Index<Vec<&MediaRow>> = LazyLock::new(|| {
    let mut rows: HashMap<_, Vec<_>> = HashMap::new();
    for row in ROWS {
        for extension in row.extensions.split(' ') {
            rows.entry(extension).or_default().push(row);
        }
    }
    rows
});

fn lower_case(word: &str) -> Cow<'_, str> {
    if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
        word.to_ascii_lowercase().into()
    } else {
        word.into()
    }
}

/// The row of a type, under its own name or an alias, in any case.
pub(super) fn by_essence(essence: &str) -> Option<&'static MediaRow> {
    BY_ESSENCE.get(lower_case(essence).as_ref()).copied()
}

/// The rows that an extension may mean: `ts` is MPEG-TS and TypeScript.
pub(super) fn by_extension(extension: &str) -> impl Iterator<Item = &'static MediaRow> {
    BY_EXTENSION
        .get(lower_case(extension).as_ref())
        .into_iter()
        .flatten()
        .copied()
}

/// The row with this name. For names written in this module's code, which a test holds against the
/// table; an unlisted one would count as unknown bytes rather than panic.
pub(super) fn row(essence: &str) -> &'static MediaRow {
    by_essence(essence).unwrap_or(&ROWS[0])
}

/// A type's one name where it is listed, else `essence` itself.
pub(super) fn canonical(essence: &str) -> &str {
    match by_essence(essence) {
        Some(row) => row.essence,
        None => essence,
    }
}

/// The types that run: programs, scripts, installers, shortcuts. The default of `policy.deny`.
///
/// HTML, SVG and PDF aren't here: they are documents, which [`content_disposition`] keeps from
/// running in the gateway's origin.
///
/// [`content_disposition`]: super::content_disposition
pub const EXECUTABLE_PATTERNS: &[&str] = &[
    "application/vnd.microsoft.portable-executable",
    "application/x-elf",
    "application/x-mach-binary",
    "application/java-vm",
    "application/java-archive",
    "application/vnd.android.dex",
    "application/vnd.android.package-archive",
    "application/vnd.debian.binary-package",
    "application/x-rpm",
    "application/x-msi",
    "application/vnd.ms-appx",
    "application/x-apple-diskimage",
    "application/x-xar",
    "application/x-chrome-extension",
    "application/x-shockwave-flash",
    "application/x-llvm",
    "application/wasm",
    "application/x-ms-shortcut",
    "application/x-mswinurl",
    "application/x-desktop",
    "application/x-bat",
    "application/x-powershell",
    "application/hta",
    "application/x-registry",
    "application/x-wsf",
    "application/x-php",
    "text/vbscript",
    "text/javascript",
    "text/x-shellscript",
    "text/x-python",
    "text/x-perl",
    "text/x-ruby",
    "application/x-applescript",
];

const fn r(
    essence: &'static str,
    form: MediaForm,
    extensions: &'static str,
    aliases: &'static str,
) -> MediaRow {
    MediaRow {
        essence,
        form,
        extensions,
        aliases,
    }
}

/// Unknown bytes stand first: [`row`] falls back on them.
#[rustfmt::skip]
static ROWS: &[MediaRow] = &[
    r("application/octet-stream", Opaque, "bin dat", ""),

    r("image/jpeg", Signed, "jpg jpeg jpe jfif", "image/jpg image/pjpeg image/jfif"),
    r("image/png", Signed, "png apng", "image/x-png image/apng image/vnd.mozilla.apng"),
    r("image/gif", Signed, "gif", ""),
    r("image/webp", Signed, "webp", ""),
    r("image/bmp", Signed, "bmp dib", "image/x-bmp image/x-ms-bmp image/x-windows-bmp"),
    r("image/tiff", Tiff, "tif tiff", "image/tif image/x-tiff image/x-tif"),
    r("image/x-adobe-dng", Tiff, "dng", "image/dng"),
    r("image/x-nikon-nef", Tiff, "nef", ""),
    r("image/x-sony-arw", Tiff, "arw", ""),
    r("image/x-pentax-pef", Tiff, "pef", ""),
    r("image/x-samsung-srw", Tiff, "srw", ""),
    r("image/x-sony-sr2", Tiff, "sr2", ""),
    r("image/x-kodak-dcr", Tiff, "dcr", ""),
    r("image/x-epson-erf", Tiff, "erf", ""),
    r("image/x-hasselblad-3fr", Tiff, "3fr", ""),
    r("image/x-panasonic-rw2", Signed, "rw2", "image/x-panasonic-raw2"),
    r("image/x-olympus-orf", Signed, "orf", ""),
    r("image/x-fuji-raf", Signed, "raf", ""),
    r("image/x-sigma-x3f", Signed, "x3f", ""),
    r("image/x-canon-crw", Signed, "crw", ""),
    r("image/x-canon-cr2", Signed, "cr2", ""),
    r("image/x-canon-cr3", Signed, "cr3", ""),
    r("image/heic", Heif, "heic heics hif", "image/heic-sequence image/x-heic"),
    r("image/heif", Heif, "heif heifs", "image/heif-sequence"),
    r("image/avif", Signed, "avif avifs avcs", "image/avif-sequence"),
    r("image/jxl", Signed, "jxl", ""),
    r("image/jp2", Signed, "jp2 jpg2 jpf jpx jpm", "image/jpx image/jpm image/jpeg2000"),
    r("image/vnd.ms-photo", Signed, "jxr wdp hdp", "image/jxr"),
    r("image/vnd.adobe.photoshop", Signed, "psd", "image/x-psd application/x-photoshop image/psd"),
    r("image/vnd.microsoft.icon", Signed, "ico", "image/x-icon image/ico"),
    r("image/vnd.djvu", Signed, "djvu djv", "image/x-djvu"),
    r("image/vnd.dwg", Signed, "dwg", "application/acad image/x-dwg"),
    r("image/svg+xml", Svg, "svg svgz", "image/svg image/svg+xml-compressed"),
    r("application/x-tgsticker", Gzip, "tgs", ""),
    r("image/x-jbig2", Signed, "jb2 jbig2", ""),
    r("image/x-tga", Opaque, "tga", "image/x-targa"),
    r("image/wmf", Opaque, "wmf", "image/x-wmf application/x-msmetafile"),
    r("image/emf", Opaque, "emf", "image/x-emf"),
    r("image/vnd.zbrush.pcx", Opaque, "pcx", "image/x-pcx"),

    r("video/mp4", Mp4, "mp4 m4v mp4v mpg4 f4v",
      "video/x-m4v video/x-mp4 application/mp4 video/x-f4v video/m4v"),
    r("audio/mp4", Mp4Sound, "m4a m4b m4r m4p f4a",
      "audio/m4a audio/x-m4a audio/mp4a-latm audio/x-m4b audio/x-m4r audio/x-m4p"),
    r("video/quicktime", Signed, "mov qt", "video/mov video/x-quicktime"),
    r("video/3gpp", ThreeGp, "3gp 3gpp", "video/3gp"),
    r("audio/3gpp", ThreeGpSound, "3ga", "audio/3gp"),
    r("video/3gpp2", Signed, "3g2 3gpp2", "audio/3gpp2"),
    r("video/webm", Webm, "webm", ""),
    r("audio/webm", WebmSound, "weba", ""),
    r("video/x-matroska", Matroska, "mkv mk3d", "video/matroska application/x-matroska video/mkv"),
    r("audio/x-matroska", MatroskaSound, "mka", "audio/matroska"),
    r("video/x-msvideo", Signed, "avi", "video/avi video/msvideo video/vnd.avi"),
    r("video/x-ms-wmv", Asf, "wmv", ""),
    r("video/x-ms-asf", Asf, "asf", "application/vnd.ms-asf"),
    r("audio/x-ms-wma", Asf, "wma", ""),
    r("video/mpeg", Signed, "mpg mpeg mpe m1v m2v vob", "video/mpg video/x-mpeg video/mp2p"),
    r("video/mp2t", Signed, "ts mts m2ts m2t", "video/vnd.dlna.mpeg-tts video/mpegts"),
    r("video/x-flv", Signed, "flv", "video/flv"),
    r("video/ogg", Ogg, "ogv ogm", ""),
    r("audio/ogg", Ogg, "ogg oga opus spx",
      "audio/opus audio/vorbis audio/x-ogg audio/speex application/ogg"),
    r("audio/mpeg", Tagged, "mp3 mpga mp2",
      "audio/mp3 audio/x-mp3 audio/mpeg3 audio/x-mpeg audio/x-mpeg-3 audio/mpg"),
    r("audio/aac", Tagged, "aac adts", "audio/x-aac audio/aacp audio/x-hx-aac-adts"),
    r("audio/wav", Signed, "wav wave", "audio/x-wav audio/wave audio/vnd.wave audio/x-pn-wav"),
    r("audio/flac", Tagged, "flac", "audio/x-flac"),
    r("audio/amr", Signed, "amr", "audio/amr-nb audio/x-amr"),
    r("audio/amr-wb", Signed, "awb", "audio/x-amr-wb"),
    r("audio/silk", Signed, "silk sil", "audio/x-silk"),
    r("audio/ilbc", Signed, "lbc", ""),
    r("audio/evrc", Signed, "evc", "audio/evrcb audio/evrcwb"),
    r("audio/evs", Signed, "evs", ""),
    r("audio/qcelp", Signed, "qcp", "audio/vnd.qcelp"),
    r("audio/x-dss", Signed, "dss ds2", "audio/dss"),
    r("audio/x-dvf", Signed, "dvf msv", ""),
    r("audio/x-tta", Tagged, "tta", ""),
    r("audio/x-wavpack", Tagged, "wv", ""),
    r("audio/x-realaudio", Signed, "ra", "audio/x-pn-realaudio"),
    r("application/vnd.rn-realmedia", Signed, "rm rmvb", ""),
    r("application/vnd.smaf", Signed, "mmf", "application/x-smaf"),
    r("application/mxf", Signed, "mxf", ""),
    r("audio/x-aiff", Signed, "aiff aif aifc", "audio/aiff"),
    r("audio/midi", Signed, "mid midi kar rmi", "audio/mid audio/x-midi"),
    r("audio/x-caf", Signed, "caf", ""),
    r("audio/basic", Signed, "au snd", "audio/x-au audio/au"),
    r("audio/ac3", Signed, "ac3", "audio/x-ac3 audio/vnd.dolby.dd-raw"),
    r("audio/x-dsf", Signed, "dsf", ""),
    r("audio/x-ape", Tagged, "ape", ""),

    r("application/pdf", Signed, "pdf", "application/x-pdf text/pdf"),
    r("application/rtf", Signed, "rtf", "text/rtf application/x-rtf text/richtext"),
    r("application/postscript", Signed, "ps eps ai", "application/eps image/x-eps"),
    r("application/epub+zip", Zip, "epub", ""),
    r("application/x-mobipocket-ebook", Signed, "mobi prc azw", ""),
    r("application/vnd.openxmlformats-officedocument.wordprocessingml.document", Word, "docx", ""),
    r("application/vnd.openxmlformats-officedocument.wordprocessingml.template", Word, "dotx", ""),
    r("application/vnd.ms-word.document.macroenabled.12", Word, "docm", ""),
    r("application/vnd.ms-word.template.macroenabled.12", Word, "dotm", ""),
    r("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Excel, "xlsx", ""),
    r("application/vnd.openxmlformats-officedocument.spreadsheetml.template", Excel, "xltx", ""),
    r("application/vnd.ms-excel.sheet.macroenabled.12", Excel, "xlsm", ""),
    r("application/vnd.ms-excel.template.macroenabled.12", Excel, "xltm", ""),
    r("application/vnd.ms-excel.addin.macroenabled.12", Excel, "xlam", ""),
    r("application/vnd.ms-excel.sheet.binary.macroenabled.12", Excel, "xlsb", ""),
    r("application/vnd.openxmlformats-officedocument.presentationml.presentation",
      Slides, "pptx", ""),
    r("application/vnd.openxmlformats-officedocument.presentationml.slideshow", Slides, "ppsx", ""),
    r("application/vnd.openxmlformats-officedocument.presentationml.template", Slides, "potx", ""),
    r("application/vnd.ms-powerpoint.presentation.macroenabled.12", Slides, "pptm", ""),
    r("application/vnd.ms-powerpoint.slideshow.macroenabled.12", Slides, "ppsm", ""),
    r("application/vnd.ms-powerpoint.template.macroenabled.12", Slides, "potm", ""),
    r("application/vnd.ms-powerpoint.addin.macroenabled.12", Slides, "ppam", ""),
    r("application/vnd.openxmlformats-officedocument.presentationml.slide", Slides, "sldx", ""),
    r("application/vnd.ms-powerpoint.slide.macroenabled.12", Slides, "sldm", ""),
    r("application/vnd.ms-visio.drawing", Zip, "vsdx", "application/vnd.ms-visio.drawing.main+xml"),
    r("application/vnd.oasis.opendocument.text", Zip, "odt", ""),
    r("application/vnd.oasis.opendocument.text-template", Zip, "ott", ""),
    r("application/vnd.oasis.opendocument.spreadsheet", Zip, "ods", ""),
    r("application/vnd.oasis.opendocument.spreadsheet-template", Zip, "ots", ""),
    r("application/vnd.oasis.opendocument.presentation", Zip, "odp", ""),
    r("application/vnd.oasis.opendocument.presentation-template", Zip, "otp", ""),
    r("application/vnd.oasis.opendocument.graphics", Zip, "odg", ""),
    r("application/vnd.oasis.opendocument.formula", Zip, "odf", ""),
    r("image/openraster", Zip, "ora", ""),
    r("application/vnd.apple.pages", Zip, "pages", "application/x-iwork-pages-sffpages"),
    r("application/vnd.apple.numbers", Zip, "numbers", "application/x-iwork-numbers-sffnumbers"),
    r("application/vnd.apple.keynote", Zip, "key", "application/x-iwork-keynote-sffkey"),
    r("application/vnd.google-earth.kmz", Zip, "kmz", ""),
    r("application/vnd.pkpass", Zip, "pkpass", "application/vnd.apple.pkpass"),
    r("application/msword", Ole, "doc dot wiz", "application/vnd.ms-word application/x-msword"),
    r("application/vnd.ms-excel", Ole, "xls xlt xla xlm xlc xlw",
      "application/msexcel application/x-msexcel application/excel"),
    r("application/vnd.ms-powerpoint", Ole, "ppt pot pps ppa",
      "application/mspowerpoint application/powerpoint"),
    r("application/vnd.ms-outlook", Ole, "msg", "application/x-msg"),
    r("application/vnd.visio", Ole, "vsd vst vss vsw", "application/x-visio"),
    r("application/vnd.ms-project", Ole, "mpp mpt", "application/msproject"),
    r("application/x-mspublisher", Ole, "pub", "application/vnd.ms-publisher"),
    r("application/x-hwp", Ole, "hwp", "application/haansofthwp application/vnd.hancom.hwp"),
    r("application/onenote", Signed, "one onepkg", "application/msonenote"),
    r("application/x-msaccess", Signed, "mdb accdb",
      "application/msaccess application/vnd.ms-access"),
    r("application/vnd.ms-tnef", Signed, "dat", "application/ms-tnef"),
    r("application/vnd.wordperfect", Signed, "wpd", "application/wordperfect"),
    r("application/x-ole-storage", Ole, "ole", ""),

    r("application/zip", Zip, "zip",
      "application/x-zip application/x-zip-compressed multipart/x-zip"),
    r("application/gzip", Gzip, "gz tgz",
      "application/x-gzip application/x-gtar application/x-compressed-tar"),
    r("application/x-tar", Signed, "tar", ""),
    r("application/vnd.rar", Signed, "rar", "application/x-rar application/x-rar-compressed"),
    r("application/x-7z-compressed", Signed, "7z", ""),
    r("application/x-bzip2", Signed, "bz2 bz", "application/x-bzip"),
    r("application/x-xz", Signed, "xz", ""),
    r("application/zstd", Signed, "zst zstd", "application/x-zstd"),
    r("application/x-lz4", Signed, "lz4", ""),
    r("application/x-lzip", Signed, "lz", ""),
    r("application/vnd.ms-cab-compressed", Signed, "cab", ""),
    r("application/x-unix-archive", Signed, "ar a lib", "application/x-archive"),
    r("application/x-cpio", Signed, "cpio", ""),
    r("application/vnd.sqlite3", Signed, "sqlite sqlite3 db3", "application/x-sqlite3"),
    r("application/dicom", Signed, "dcm", ""),
    r("font/woff", Signed, "woff", "application/font-woff application/x-font-woff"),
    r("font/woff2", Signed, "woff2", "application/font-woff2"),
    r("font/ttf", Signed, "ttf",
      "application/x-font-ttf application/font-sfnt application/x-font-truetype font/sfnt"),
    r("font/otf", Signed, "otf", "application/x-font-otf application/x-font-opentype"),
    r("font/collection", Signed, "ttc otc", ""),
    r("application/x-iso9660-image", Opaque, "iso", ""),
    r("application/pkcs7-signature", Opaque, "p7s", "application/x-pkcs7-signature"),

    r("text/plain", Text, "txt log text conf ini cfg env properties diff patch asc",
      "application/text application/txt"),
    r("text/csv", Text, "csv",
      "application/csv text/x-csv text/comma-separated-values application/x-csv"),
    r("text/tab-separated-values", Text, "tsv tab", ""),
    r("text/markdown", Text, "md markdown mkd", "text/x-markdown"),
    r("text/calendar", Text, "ics ical ifb vcs", "text/x-vcalendar application/ics"),
    r("text/vcard", Text, "vcf vcard", "text/x-vcard text/directory"),
    r("message/rfc822", Text, "eml mht mhtml", "application/x-mimearchive"),
    r("text/css", Text, "css", ""),
    r("text/x-yaml", Text, "yaml yml",
      "application/yaml application/x-yaml text/yaml text/vnd.yaml"),
    r("text/x-toml", Text, "toml", "application/toml"),
    r("text/vtt", Text, "vtt", ""),
    r("application/x-subrip", Text, "srt", "text/srt"),
    r("application/x-ndjson", Text, "ndjson jsonl", "application/jsonl application/x-jsonlines"),
    r("application/sql", Text, "sql", "application/x-sql text/x-sql"),
    r("application/x-tex", Text, "tex latex", "text/x-tex application/x-latex"),
    r("application/typescript", Text, "ts tsx", "text/typescript"),
    r("application/x-pem-file", Text, "pem key csr", ""),
    r("application/json", Json, "json map", "text/json application/x-json"),
    r("application/geo+json", Json, "geojson", "application/vnd.geo+json"),
    r("text/html", Html, "html htm shtml", ""),
    r("application/xhtml+xml", Html, "xhtml xht", ""),
    r("text/xml", Xml, "xml xsd xsl xslt", "application/xml application/xslt+xml"),
    r("application/rss+xml", Xml, "rss", ""),
    r("application/atom+xml", Xml, "atom", ""),
    r("application/vnd.google-earth.kml+xml", Xml, "kml", ""),
    r("application/gpx+xml", Xml, "gpx", "application/gpx"),

    r("application/vnd.microsoft.portable-executable", Signed,
      "exe dll com scr sys cpl ocx drv pif efi mui",
      "application/x-msdownload application/x-msdos-program application/x-dosexec \
       application/x-exe application/exe application/x-winexe application/dos-exe"),
    r("application/x-elf", Signed, "elf so o ko axf prx appimage run",
      "application/x-executable application/x-sharedlib application/x-object \
       application/x-pie-executable"),
    r("application/x-mach-binary", Signed, "macho dylib bundle", "application/x-mach-o"),
    r("application/java-vm", Signed, "class",
      "application/java application/java-byte-code application/x-java-vm application/x-java-class"),
    r("application/java-archive", App, "jar war ear", "application/x-java-archive application/jar"),
    r("application/vnd.android.dex", Signed, "dex odex dey", ""),
    r("application/vnd.android.package-archive", App, "apk aab xapk apks apkm", ""),
    r("application/vnd.debian.binary-package", Signed, "deb udeb",
      "application/x-debian-package application/x-deb"),
    r("application/x-rpm", Signed, "rpm", "application/x-redhat-package-manager"),
    r("application/x-msi", Ole, "msi msp mst",
      "application/x-ms-installer application/x-ms-win-installer"),
    r("application/vnd.ms-appx", App, "appx msix appxbundle msixbundle",
      "application/msix application/appx"),
    r("application/x-apple-diskimage", Signed, "dmg", ""),
    r("application/x-xar", Signed, "pkg mpkg xar", ""),
    r("application/x-chrome-extension", Signed, "crx", "application/x-google-chrome-extension"),
    r("application/x-shockwave-flash", Signed, "swf", "application/vnd.adobe.flash.movie"),
    r("application/x-llvm", Signed, "bc", ""),
    r("application/wasm", Signed, "wasm", ""),
    r("application/x-ms-shortcut", Signed, "lnk", "application/x-mslnk"),
    r("application/x-mswinurl", Script, "url website webloc",
      "application/internet-shortcut text/x-url"),
    r("application/x-desktop", Script, "desktop", ""),
    r("application/x-bat", Script, "bat cmd btm",
      "application/bat application/x-cmd text/x-bat text/x-msdos-batch"),
    r("application/x-powershell", Script, "ps1 psm1 psd1 ps1xml ps2 psc1",
      "text/x-powershell application/powershell"),
    r("application/hta", Script, "hta", ""),
    r("application/x-registry", Script, "reg inf", "text/x-ms-regedit"),
    r("application/x-wsf", Script, "wsf wsh wsc sct ws scf gadget msc jnlp settingcontent-ms", ""),
    r("application/x-php", Script, "php php3 php4 php5 php7 phps phtml phar",
      "application/x-httpd-php text/x-php text/php application/php"),
    r("text/vbscript", Script, "vbs vbe vb vba bas",
      "application/x-vbs text/vbs application/x-vbscript"),
    r("text/javascript", Script, "js mjs cjs jse jsx",
      "application/javascript application/x-javascript text/ecmascript application/ecmascript \
       text/x-javascript text/jscript"),
    r("text/x-shellscript", Script, "sh bash zsh ksh csh tcsh fish command tool",
      "application/x-sh application/x-shellscript text/x-sh application/x-csh"),
    r("text/x-python", Script, "py pyw pyc pyo pyz",
      "application/x-python application/x-python-code text/x-script.python"),
    r("text/x-perl", Script, "pl pm", "application/x-perl"),
    r("text/x-ruby", Script, "rb rbw", "application/x-ruby"),
    r("application/x-applescript", Script, "scpt applescript scptd", ""),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_name_stands_for_one_type_only() {
        let mut seen = HashSet::new();
        for row in ROWS {
            for name in row
                .aliases
                .split(' ')
                .filter(|alias| !alias.is_empty())
                .chain([row.essence])
            {
                assert!(seen.insert(name), "{name} is listed twice");
                assert_eq!(name, name.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn an_extension_means_one_type_of_a_form() {
        let mut seen = HashSet::new();
        for row in ROWS {
            for extension in row.extensions.split(' ') {
                assert!(
                    seen.insert((extension, format!("{:?}", row.form))),
                    "{extension} is listed twice"
                );
                assert!(!extension.is_empty(), "{} has no extension", row.essence);
            }
        }
    }

    #[test]
    fn every_executable_is_listed() {
        for pattern in EXECUTABLE_PATTERNS {
            assert_eq!(row(pattern).essence, *pattern);
        }
        for script in ROWS.iter().filter(|row| row.form == Script) {
            assert!(script.is_executable(), "{} runs", script.essence);
        }
    }

    /// eGain infers the type from the extension of the name, so the extension given here must
    /// mean to a common table what it means to this one.
    #[test]
    fn a_common_table_agrees_with_the_extensions_given() {
        let unlike = |row: &&MediaRow| {
            let guesses = mime_guess::from_ext(row.extension());
            let mut guesses = guesses
                .iter_raw()
                .map(canonical)
                .filter(|guess| *guess != ROWS[0].essence)
                .peekable();
            guesses.peek().is_some() && guesses.all(|guess| guess != row.essence)
        };
        let unlike: Vec<_> = ROWS
            .iter()
            .filter(|row| !row.is_executable())
            .filter(unlike)
            .map(|row| row.essence)
            .collect();
        assert_eq!(unlike, KNOWN_DIFFERENCES);
    }

    /// One name for two formats in the common table, and `ts` and `pem` that mean another there.
    const KNOWN_DIFFERENCES: &[&str] = &[
        "image/emf",
        "font/otf",
        "application/typescript",
        "application/x-pem-file",
    ];
}
