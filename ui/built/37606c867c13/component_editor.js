export { default } from "genba-ui/editor.js";
