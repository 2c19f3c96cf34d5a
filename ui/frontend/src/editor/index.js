export { default } from './Editor.vue';
