#!/bin/bash
# npm run deb [-- FOLDER]: saveoops_VERSION_amd64.deb in FOLDER (default: dist). The same commit gives the same bytes.
# SOURCE_DATE_EPOCH, DEBFULLNAME and DEBEMAIL mean what they mean to Debian's own tools.
# By dpkg-deb alone: everything is built by npm already, and debhelper would only be told what not to do.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} TZ=UTC LC_ALL=C
out=${1:-dist}
mkdir -p "$out"
node scripts/build.mjs >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
lib=$root/usr/lib/saveoops
doc=$root/usr/share/doc/saveoops
mkdir -p "$root/DEBIAN" "$lib/node_modules" "$root/usr/bin" "$doc"
version=$(node -p 'require("./package.json").version')
maintainer="${DEBFULLNAME:-The Saveoops authors} <${DEBEMAIL:-saveoops@localhost}>"

# The program: what npm would publish, and the packages that it needs to run.
npm pack --ignore-scripts --silent --pack-destination "$work" >/dev/null
tar -xzf "$work"/saveoops-*.tgz -C "$lib" --strip-components=1
npm ls --omit=dev --all --parseable | sed -n "s,^$PWD/node_modules/,,p" | sort >"$work/packages"
grep -v /node_modules/ "$work/packages" | while read -r package; do
  mkdir -p "$(dirname "$lib/node_modules/$package")"
  cp -R "node_modules/$package" "$lib/node_modules/$package"
done
find "$lib" \( -name .npmignore -o -path "$lib/dist/*.d.ts" -o -path "$lib/dist/*.map" \) -delete
sed -i '1s,.*,#!/usr/bin/node,' "$lib/dist/src/cli.js"
ln -s ../lib/saveoops/dist/src/cli.js "$root/usr/bin/saveoops"

# Hooks, units, configuration.
cp -R src/packaging/root/. "$root"

# Manual pages, completion, documents.
node --input-type=module - "$root/usr/share/man" "$version" "$(date -d "@$SOURCE_DATE_EPOCH" +%F)" <<JS
  import { mkdirSync, writeFileSync } from 'node:fs';
  import { renderPages } from '$PWD/dist/src/commands/man-page.js';
  const [folder, version, date] = process.argv.slice(2);
  for (const { name, section, text } of renderPages({ version, date })) {
    mkdirSync(\`\${folder}/man\${section}\`, { recursive: true });
    writeFileSync(\`\${folder}/man\${section}/\${name}.\${section}\`, text);
  }
JS
gzip -9n "$root"/usr/share/man/man?/*
complete() { # shell, file
  mkdir -p "$root/usr/share/$(dirname "$2")"
  node dist/src/cli.js completion "$1" >"$root/usr/share/$2"
}
complete bash bash-completion/completions/saveoops
complete zsh zsh/vendor-completions/_saveoops
complete fish fish/vendor_completions.d/saveoops.fish
cp -R README.md docs "$doc"
rm "$lib/README.md" "$lib/LICENSE"
{
  printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n'
  printf 'Files: *\nCopyright: %s\nLicense: MIT\n' "$(sed -n 's/^Copyright (c) //p' LICENSE)"
  sed '1,4d; s/^$/./; s/^/ /' LICENSE
  node -e '
    for (const name of fs.readFileSync(0, "utf8").trim().split("\n")) {
      const { license } = require(`./node_modules/${name}/package.json`);
      const files = `usr/lib/saveoops/node_modules/${name}/*`;
      const text = license === "Apache-2.0" ? "/usr/share/common-licenses/Apache-2.0" : "beside its files";
      console.log(`\nFiles: ${files}\nCopyright: its authors\nLicense: ${license}\n Text: ${text}.`);
    }' <"$work/packages"
} >"$doc/copyright"
gzip -9n >"$doc/changelog.gz" <<END
saveoops ($version) unstable; urgency=medium

  * Built from the repository; its commits are the changes.

 -- $maintainer  $(date -R -d "@$SOURCE_DATE_EPOCH")
END

# What dpkg reads. Everything below /etc is a configuration file.
find "$root" -type d -exec chmod 755 {} +
find "$root" -type f -perm /100 -exec chmod 755 {} +
find "$root" -type f ! -perm /100 -exec chmod 644 {} +
# Some packages come with modules that are marked as programs.
find "$lib/node_modules" -type f -perm /100 | while read -r file; do
  [ "$(head -c 2 "$file")" = '#!' ] || chmod 644 "$file"
done
chmod 755 "$lib/dist/src/cli.js"
(cd "$root" && find etc -type f | sort | sed 's,^,/,') >"$root/DEBIAN/conffiles"
(cd "$root" && find etc usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
cp src/packaging/deb/postinst src/packaging/deb/prerm src/packaging/deb/postrm "$root/DEBIAN/"
size=$(du -k -s --apparent-size "$root" | cut -f1)
sed "s/@VERSION@/$version/; s/@SIZE@/$size/; s/@MAINTAINER@/$maintainer/" src/packaging/deb/control.in >"$root/DEBIAN/control"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/saveoops_${version}_amd64.deb"
